"""The splits that a user's function returns: three, two or one of them, in order or by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optbench.data.corpus import SPLITS
from optbench.data.samples.values import INPUT_NAMES, LABEL_NAMES, is_array, is_texts
from optbench.errors import ConfigError

USUAL = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing"),
}
FORM = "Return (train, validation, test), two of them, or one; each a torch Dataset, (inputs, labels), or batches"


def named_splits(where: str, result: Any) -> dict[str, Any]:
    """Return the splits by name. Two without names are train and test. Raises ConfigError for anything else."""
    if result is None:
        raise ConfigError(f"{where} returned None", f"{FORM}: is its `return` missing?")
    if isinstance(result, Mapping):
        return by_name(where, result)
    if is_one_split(result):
        return {"train": result}
    if len(result) > len(SPLITS):
        raise ConfigError(f"{where} returned {len(result)} parts, but there are three splits", f"{FORM}{pairs(result)}")
    names = SPLITS if len(result) == len(SPLITS) else ("train", "test")
    return none_missing(where, dict(zip(names, result, strict=False)))


def is_one_split(result: Any) -> bool:
    """Return True for anything but a tuple or list of splits. A pair of arrays is one split: inputs and labels."""
    if not isinstance(result, (tuple, list)) or hasattr(result, "_asdict"):
        return True
    if isinstance(result, list) and not (1 < len(result) <= len(SPLITS)):
        return True  # of samples or documents
    if isinstance(result, list) and not all(map(is_split, result)):
        return True
    if len(result) != 2 or not (is_array(result[1]) or is_labels(result[1])):
        return False
    return is_array(result[0]) or (is_texts(result[0]) and not is_texts(result[1]))


def is_split(value: Any) -> bool:
    """Return True for what may be a whole split, as an element of a list of splits."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(is_array(v) or is_labels(v) for v in value)
    return pair or is_texts(value) or (hasattr(value, "__getitem__") and not isinstance(value, (tuple, list, Mapping)))


def is_labels(value: Any) -> bool:
    """Return True for a list of numbers or texts, which may be the labels of an array of inputs."""
    return isinstance(value, (list, tuple)) and all(isinstance(v, (str, bool, int, float)) for v in value)


def by_name(where: str, result: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the splits of a mapping: of splits, or of the columns of one split."""
    known = {usual: split for split, names in USUAL.items() for usual in names}
    found = {known[str(key).lower()]: value for key, value in result.items() if str(key).lower() in known}
    if "train" in found:
        return none_missing(where, found)
    if not found and any(name in result for name in (*INPUT_NAMES, *LABEL_NAMES)):
        return {"train": result}
    raise ConfigError(
        f"{where} returned a dict without a training split; it has {', '.join(map(str, result)) or 'nothing'}",
        'Name the splits: {"train": ..., "validation": ..., "test": ...}; the last two may be missing',
    )


def none_missing(where: str, splits: dict[str, Any]) -> dict[str, Any]:
    """Return the splits without held-out ones that are None."""
    if not splits or splits["train"] is None:
        raise ConfigError(f"{where} returned no training split", FORM)
    return {split: value for split, value in splits.items() if value is not None}


def pairs(result: Any) -> str:
    """Return a hint for the four arrays of scikit-learn's train_test_split."""
    four = len(result) == 4 and all(map(is_array, result))
    return "; four arrays are return (X_train, y_train), (X_test, y_test)" if four else ""
