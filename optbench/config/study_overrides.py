"""Overrides of a sweep, in Hydra's grammar: what is fixed, what is compared, what is searched.

optimizer=lion,adamw                               compared: choices and ranges span the cells of the sweep
optimizer.lr=interval(1e-5,1e-2)                   searched on a linear scale
optimizer.lr=tag(log,interval(1e-5,1e-2))          searched on a logarithmic one
optimizer.lr=1e-3,3e-3,1e-2                        numbers of an optimizer, a modifier, a schedule, a clip: searched
optimizer.lr=tag(compare,choice(1e-3,1e-2))        ... unless they are tagged as to be compared
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import imports
from optbench.config.files import config_folders, options
from optbench.config.modifiers import modifier_files
from optbench.config.overrides import parse_override, root_cause, unquoted
from optbench.config.runconfig import GROUPS, SECOND
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

SEARCHED = ("optimizer", "optimizer_d", "schedule", "clip")  # groups whose numbers are hyperparameters
TAGS = {"log", "compare"}


@dataclass(frozen=True)
class Axis:
    """A key whose values are compared: each is a cell of its own."""

    key: str
    values: tuple[str, ...]
    """As one types them behind `key=`."""


@dataclass(frozen=True)
class Dimension:
    """A key that is searched: an interval, or a list of values."""

    key: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    integer: bool = False
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class SweepOverrides:
    """The overrides of a sweep, sorted by what they ask for."""

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]
    dimensions: tuple[Dimension, ...]

    @property
    def fixed_keys(self) -> set[str]:
        """Keys that are given one value."""
        return {text.partition("=")[0].lstrip("+") for text in self.fixed}


def parse_sweep(overrides: Sequence[str], config_dir: str | Path | None = None) -> SweepOverrides:
    """The overrides sorted; the last one of a key wins. ConfigError for what cannot be swept."""
    folders = config_folders(config_dir)
    modifiers = tuple(modifier_files(folders))
    found: dict[str, str | Axis | Dimension] = {}
    for text in overrides:
        key = text.partition("=")[0].lstrip("+")
        found.pop(key, None)
        found[key] = sorted_out(text, folders, modifiers)
    kinds: dict[type, list[Any]] = {str: [], Axis: [], Dimension: []}
    for item in found.values():
        kinds[type(item)].append(item)
    return SweepOverrides(tuple(kinds[str]), tuple(kinds[Axis]), tuple(kinds[Dimension]))


def sorted_out(text: str, folders: Sequence[Path], modifiers: Sequence[str]) -> str | Axis | Dimension:
    """One override as what it asks for."""
    key, _, value = text.partition("=")
    key = key.lstrip("+")
    if key == "optimizer" and imports.is_path(value) and "," not in value:
        return text
    override = parse_override(text)
    if not override.is_sweep_override():
        return text
    if key == "seed":
        raise ConfigError(f"{shown(text)}: a sweep chooses its seeds", "Say how many: --seeds 5 (and --tune-seeds 1)")
    if override.is_interval_sweep():
        return interval(key, override.value(), text)
    return listed(key, override, text, folders, modifiers)


def interval(key: str, value: Any, text: str) -> Dimension:
    """A searched interval."""
    check_tags(value.tags, text)
    if "compare" in value.tags:
        raise ConfigError(f"{shown(text)}: an interval is searched, and cannot be compared")
    integer = isinstance(value.start, int) and isinstance(value.end, int)
    return checked(Dimension(key, float(value.start), float(value.end), "log" in value.tags, integer), text)


def checked(dimension: Dimension, text: str) -> Dimension:
    """The dimension, if it is an interval that can be searched."""
    low, high = dimension.low, dimension.high
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{shown(text)}: an interval needs two finite bounds")
    if dimension.integer and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"{shown(text)}: an interval of whole numbers needs whole bounds")
    if low == high:
        raise ConfigError(f"{shown(text)}: the interval has no width", f"To fix the value: {dimension.key}={low:g}")
    if low > high:
        raise ConfigError(f"{shown(text)}: the interval is upside down", f"Say interval({high:g},{low:g})")
    if dimension.log and low <= 0:
        raise ConfigError(
            f"{shown(text)}: a logarithmic interval must lie above zero", "Begin at a small number, e.g. 1e-5"
        )
    return dimension


def listed(key: str, override: Any, text: str, folders: Sequence[Path], modifiers: Sequence[str]) -> Axis | Dimension:
    """A choice, a range or a glob."""
    values = tuple(glob_names(key, override, text, folders) if is_glob(override) else strings(override, text))
    plain = [] if is_glob(override) else [unquoted(v) for v in override.sweep_iterator()]
    tags = set(getattr(override.value(), "tags", ()))
    check_tags(tags, text)
    if not values:
        raise ConfigError(f"{shown(text)}: there is nothing to choose from")
    if len(set(values)) < len(values):
        raise ConfigError(f"{shown(text)}: a value is given twice")
    numbers = bool(plain) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in plain)
    hyperparameter = "." in key and key.split(".")[0] in (*SEARCHED, *modifiers)
    if numbers and hyperparameter and "compare" not in tags:
        return Dimension(key, values=tuple(sorted(plain)))
    return Axis(key, values)


def strings(override: Any, text: str) -> list[str]:
    """The values as one types them; Hydra has True for what YAML and the command line call true."""
    try:
        return [{"True": "true", "False": "false"}.get(value, value) for value in override.sweep_string_iterator()]
    except Exception as error:  # e.g. a range without an end
        raise ConfigError(f"{shown(text)}: cannot be listed ({shown(root_cause(error))})") from error


def is_glob(override: Any) -> bool:
    """Whether the values are a pattern of names."""
    from hydra.core.override_parser.types import Glob

    return isinstance(override.value(), Glob)


def glob_names(key: str, override: Any, text: str, folders: Sequence[Path]) -> list[str]:
    """The choices of a group that a pattern takes."""
    if key not in (*GROUPS, *SECOND):
        raise ConfigError(f"{shown(text)}: glob() chooses files of a group, and '{shown(key)}' is none")
    return list(override.value().filter(options(folders, SECOND.get(key, key))))


def check_tags(tags: set[str], text: str) -> None:
    """ConfigError for a tag without a meaning."""
    for tag in sorted(set(tags) - TAGS):
        raise ConfigError(f"{shown(text)}: unknown tag '{shown(tag)}'", suggest(tag, sorted(TAGS)))


def dimension_of_spec(key: str, spec: str) -> Dimension:
    """A searched interval as YAML files state it: "log [1e-5, 1e-2]", "[0, 1]", "int [1, 8]"."""
    words, _, bounds = spec.partition("[")
    kinds = set(words.split())
    parts = bounds.rstrip("] ").split(",")
    text = f'{key}: "{spec}"'
    if not bounds.endswith("]") or len(parts) != 2 or kinds - {"log", "int"}:
        raise ConfigError(f"{text}: is no interval", 'Intervals look like "log [1e-5, 1e-2]" or "[0, 1]"')
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError:
        raise ConfigError(f"{text}: its bounds are no numbers") from None
    return checked(Dimension(key, low, high, "log" in kinds, "int" in kinds), text)


def boxes_of(about: Mapping[str, Any], group: str) -> tuple[Dimension, ...]:
    """The published search box of a choice (`about.search`), in the order of its file."""
    return tuple(dimension_of_spec(f"{group}.{key}", spec) for key, spec in about.get("search", {}).items())
