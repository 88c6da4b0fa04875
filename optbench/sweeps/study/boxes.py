"""The search boxes of a study, by optimizer: by the name of its file, `timm/NAME`, or an own one's name or path."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.config import RunConfig, config_folders, options
from optbench.config.imports import is_path
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

log = logging.getLogger(__name__)

WAYS = (
    "Give it an interval: optimizer.lr='tag(log,interval(1e-5,1e-2))'; "
    'or, in its class, search = {"lr": "log [1e-5, 1e-2]"}; '
    'or, in a study file, boxes: {%s: {lr: "log [1e-5, 1e-2]"}}'
)
"""The ways to give an optimizer an interval; %s is its name."""


def box_for(boxes: Mapping[str, Mapping[str, str]], config: RunConfig) -> Mapping[str, str] | None:
    """Return the study's box for the optimizer of a configuration; None without one.

    Raises ConfigError for two boxes of one optimizer."""
    found = [name for name in boxes if is_of(name, config)]
    if len(found) > 1:
        raise ConfigError(f"boxes: {' and '.join(map(shown, found))} are the same optimizer", "Keep one of them")
    return boxes[found[0]] if found else None


def is_of(name: str, config: RunConfig) -> bool:
    """Return True if a box's name is that of the configuration's optimizer, or its path, however that is written."""
    target = config.optimizer.target
    return name in (config.optimizer.name, target) or (
        ".py:" in name and ".py:" in target and full(name) == full(target)
    )


def full(path: str) -> str:
    """Return an import path with its file in full."""
    file, name = path.rsplit(":", 1)
    return f"{os.path.realpath(file)}:{name}"


def check_boxes(boxes: Mapping[str, Mapping[str, str]], compared: Sequence[RunConfig], config_dir: Path | None) -> None:
    """Raise ConfigError for a box of nothing known. Say which boxes are those of optimizers that are not compared."""
    known = options(config_folders(config_dir), "optimizer")
    names = list(dict.fromkeys(config.optimizer.name for config in compared))
    for name in boxes:
        if any(is_of(name, config) for config in compared):
            continue
        lost = ".py:" in name and not os.path.isfile(name.rsplit(":", 1)[0])
        if lost or (name not in known and not is_path(name) and "/" not in name):
            what = f"{shown(name)}: no such file" if lost else f"there is no optimizer '{shown(name)}'"
            raise ConfigError(f"boxes: {what}", suggest(name, [*names, *known]))
        log.warning(f"boxes: {shown(name)} is not compared in this study, so its box has no effect")
