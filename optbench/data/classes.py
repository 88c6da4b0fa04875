"""The classes of a data set's splits: refusals and notices before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from optbench.config.notices import say_once
from optbench.data.notices import counted, some
from optbench.errors import ConfigError


def require_labels(where: str, labels: Mapping[str, Tensor], classes: int) -> None:
    """Raise ConfigError for an empty split or a label outside 0 .. classes-1."""
    for split, found in labels.items():
        if not len(found):
            raise ConfigError(f"{where}: the {split} split has no samples", "Add samples to it")
        low, high = int(found.min()), int(found.max())
        if low < 0 or high >= classes:
            raise ConfigError(
                f"{where}: the {split} split has the label {low if low < 0 else high}, but the {classes} classes are "
                f"numbered 0 to {classes - 1}",
                "Number the labels from 0 on, without gaps",
            )


def check_classes(where: str, labels: Mapping[str, Tensor], names: Sequence[str], given: Collection[str]) -> None:
    """Raise ConfigError if the splits do not have the same classes, two or more; `given` are those that were not cut
    here. A split that was cut may lack a rare class, which is only said."""
    require_labels(where, labels, len(names))
    if len(labels["train"].unique()) < 2:
        raise ConfigError(
            f"{where}: the train split has samples of one class only; classification needs two or more",
            "Add samples of another class",
        )
    has = {split: torch.bincount(found, minlength=len(names)) > 0 for split, found in labels.items()}
    nowhere = ~torch.stack(list(has.values())).any(0)
    if nowhere.any():
        say_once(f"{where}: no sample of {listed(nowhere, names)}")
    for split in [split for split in labels if split != "train"]:
        extra, lacking = has[split] & ~has["train"], has["train"] & ~has[split]
        if extra.any():
            way_out = f"remove it from {split}" if "train" in given else "raise or lower data.validation"
            raise ConfigError(
                f"{where}: the {split} split has a class that the training part lacks: {listed(extra, names)}",
                f"Add samples of it {way_out}",
            )
        if lacking.any() and split in given:
            raise ConfigError(
                f"{where}: the {split} split has no sample of {listed(lacking, names)}, which train has",
                f"Add some, take them out of train, or remove the {split} split: it is then cut from train",
            )
        if lacking.any():
            say_once(f"{where}: the {split} split, cut from the training samples, lacks {listed(lacking, names)}")


def listed(chosen: Tensor, names: Sequence[str]) -> str:
    """Return "class cat", or "3 classes: cat, dog, emu"."""
    found = [str(names[int(index)]) for index in torch.nonzero(chosen)[:, 0]]
    return f"class {found[0]}" if len(found) == 1 else f"{counted(len(found), 'class', 'classes')}: {some(found)}"
