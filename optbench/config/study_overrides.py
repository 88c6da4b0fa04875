"""Overrides of a sweep, in Hydra's grammar: fixed, compared or searched.

optimizer=lion,adamw                               compared: choices and ranges span the cells of the sweep
optimizer.lr=interval(1e-5,1e-2)                   searched on a linear scale
optimizer.lr=tag(log,interval(1e-5,1e-2))          searched on a logarithmic scale
optimizer.betas.1=tag(one_minus,interval(0.9,0.999)) one element of a list, on a logarithmic scale of 1 - value
optimizer.lr=1e-3,3e-3,1e-2                        numbers of an optimizer, a modifier, a schedule, a clip: searched
optimizer.lr=tag(compare,choice(1e-3,1e-2))        ... unless they are tagged `compare`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from optbench.config.dimensions import Dimension, checked
from optbench.config.files import config_folders, options
from optbench.config.modifiers import modifier_files
from optbench.config.overrides import is_bare_text, parse_override, root_cause
from optbench.config.own import aliased
from optbench.config.runconfig import GROUPS, SECOND
from optbench.config.values import as_typed, shown
from optbench.errors import ConfigError, suggest

if TYPE_CHECKING:
    from optbench.config.hydra_api import ParsedOverride

SEARCHED = ("optimizer", "optimizer_d", "schedule", "clip")  # groups whose numbers are hyperparameters
TAGS = ("compare", "log", "one_minus")
MOST_VALUES = 10_000  # of a key: more would be years of runs


@dataclass(frozen=True)
class Axis:
    """A key whose values are compared: each is a cell of its own."""

    key: str
    values: tuple[str, ...]
    """As typed after `key=`."""


@dataclass(frozen=True)
class SweepOverrides:
    """The overrides of a sweep by kind."""

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]
    dimensions: tuple[Dimension, ...]


SweepOverride: TypeAlias = str | Axis | Dimension


def parse_sweep(overrides: Sequence[str], config_dir: str | Path | None = None) -> SweepOverrides:
    """Return the overrides by kind; the last one of a key wins. Raises ConfigError for one that cannot be swept."""
    folders = config_folders(config_dir)
    modifiers = tuple(modifier_files(folders))
    found: dict[str, SweepOverride] = {}
    for text in overrides:
        key = aliased(text.partition("=")[0].lstrip("+"))
        found.pop(key, None)
        found[key] = parse_sweep_override(text, folders, modifiers)
    return SweepOverrides(
        tuple(item for item in found.values() if isinstance(item, str)),
        tuple(item for item in found.values() if isinstance(item, Axis)),
        tuple(item for item in found.values() if isinstance(item, Dimension)),
    )


def parse_sweep_override(text: str, folders: Sequence[Path], modifiers: Sequence[str]) -> SweepOverride:
    """Return one override: its text where it is fixed, an axis or a dimension."""
    key, _, value = text.partition("=")
    if is_bare_text(key, value):
        return text
    key = aliased(key.lstrip("+"))
    override = parse_override(text)
    if not override.is_sweep:
        return text
    if key == "seed":
        raise ConfigError(f"{shown(text)}: a sweep chooses its seeds", "Say how many: --seeds 5 (and --tune-seeds 1)")
    for tag in sorted(override.tags - set(TAGS)):
        raise ConfigError(f"{shown(text)}: unknown tag '{shown(tag)}'", suggest(tag, TAGS))
    if override.is_interval:
        return interval(key, override, text)
    return listed(key, override, text, folders, modifiers)


def interval(key: str, override: ParsedOverride, text: str) -> Dimension:
    """Return a searched interval."""
    if "compare" in override.tags:
        raise ConfigError(f"{shown(text)}: an interval is searched and cannot be compared")
    low, high = override.bounds
    one_minus = "one_minus" in override.tags
    integer = isinstance(low, int) and isinstance(high, int) and not one_minus
    log = "log" in override.tags and not one_minus
    return checked(Dimension(key, float(low), float(high), log, integer, one_minus=one_minus), text)


def listed(
    key: str, override: ParsedOverride, text: str, folders: Sequence[Path], modifiers: Sequence[str]
) -> Axis | Dimension:
    """Return a choice, a range or a glob as an axis, or as a dimension where it lists numbers of a hyperparameter."""
    if override.is_glob:
        if key not in (*GROUPS, *SECOND):
            raise ConfigError(f"{shown(text)}: glob() chooses files of a group, and '{shown(key)}' is not a group")
        values, plain = override.matching(options(folders, SECOND.get(key, key))), []
    else:
        check_count(override, text)
        values, plain = texts_of(override, text), override.values()
    if not values:
        raise ConfigError(f"{shown(text)}: there is nothing to choose from")
    if len(set(map(as_typed, plain or values))) < len(values):
        raise ConfigError(f"{shown(text)}: a value is given twice")
    numbers = [value for value in plain if isinstance(value, (int, float)) and not isinstance(value, bool)]
    hyperparameter = "." in key and key.split(".")[0] in (*SEARCHED, *modifiers)
    if numbers and len(numbers) == len(plain) and hyperparameter and "compare" not in override.tags:
        return Dimension(key, values=tuple(sorted(numbers)))
    return Axis(key, tuple(values))


def check_count(override: ParsedOverride, text: str) -> None:
    """Raise ConfigError for a choice or a range of no values or of too many, before they are listed."""
    try:
        count = override.count
    except OverflowError:  # a whole number too large for a float
        count = math.inf
    if math.isnan(count) or count <= 0:
        raise ConfigError(f"{shown(text)}: there is nothing to choose from", "A range is range(START,STOP,STEP)")
    if count > MOST_VALUES:
        said = f"{count:,.0f} values" if math.isfinite(count) else "values without end"
        hint = "Take a larger step; a hyperparameter is searched by interval(LOW,HIGH)"
        raise ConfigError(f"{shown(text)}: {said}; a key has at most {MOST_VALUES:,} in a sweep", hint)


def texts_of(override: ParsedOverride, text: str) -> list[str]:
    """Return the values as typed. Raises ConfigError for a range without an end."""
    try:
        return override.texts()
    except Exception as error:
        raise ConfigError(f"{shown(text)}: cannot be listed ({shown(root_cause(error))})") from error
