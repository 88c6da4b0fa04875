"""The names of what a script measures, and their values as numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from optbench.errors import ConfigError, suggest
from optbench.records import Split

FINAL = tuple(f"{split}_{score}" for split in ("val", "test", "train") for score in ("loss", "metric", "trivial"))
"""The values of a result."""
RESERVED = ("step", "samples", "tokens", "gradient_evaluations", "split", "train_seconds", "wall_seconds", "nonfinite")
RESERVED = (*RESERVED, "run_id", "schema", "seconds")
SPLITS = {"val_": Split.VALIDATION, "test_": Split.TEST, "train_clean_": Split.TRAIN_CLEAN}
LONGEST_NAME = 100


def check_names(where: str, names: Collection[str], known: Collection[str] | None = None) -> None:
    """Raise ConfigError for a name that is not among the known ones, or that no column can have."""
    for name in names:
        if known is not None and name not in known:
            raise ConfigError(f"{where}: there is no value '{name}'", suggest(name, known))
        if name in RESERVED or not is_name(name):
            raise ConfigError(f"{where}: '{name}' cannot be recorded", "Choose another name, e.g. my_value")


def is_name(name: str) -> bool:
    """Return True for a name that a column of a script's own may have."""
    return name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME


def split_of(name: str) -> Split:
    """Return the split that a value was measured on, by the beginning of its name."""
    return next((split for prefix, split in SPLITS.items() if name.startswith(prefix)), Split.TRAIN)


def number_of(name: str, value: Any) -> float | int:
    """Return a value as a number: of a Python or numpy number, or of a tensor with one element."""
    if isinstance(value, (int, float)):
        return value
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        numel = getattr(value, "numel", None)
        count = f" with {numel()} elements" if numel else ""
        kind = type(value).__name__
        raise ConfigError(f"{name}={str(value)[:40]!r}: expected one number, got {kind}{count}") from None
