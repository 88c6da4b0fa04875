"""The search boxes of an optimizer's file: `about.search`, and others by name under `about.presets`.

docs/boxes.md has the rule that every published box follows: as many decades around the value that the authors recommend
as WIDTHS says. A preset is the box of another paper, or of a mode of the optimizer: `when` names the settings that it
is for, and with these it replaces the published box.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optbench.config.dimensions import Dimension, dimension_of_spec
from optbench.config.runconfig import Choice
from optbench.config.trees import flatten, is_list, leaf
from optbench.config.values import as_number, shown
from optbench.errors import ConfigError, suggest

PUBLISHED, WHEN = "published", "when"
WIDTHS: Mapping[str, float] = {
    "learning rate": 3.0,
    "weight decay": 4.0,
    "added constant": 4.0,
    "decay rate": 2.0,
    "factor": 2.0,
}
"""Decades of a box, by the kind of hyperparameter."""
NO_DECAY_ADVISED = 0.01
"""The middle of the box of a weight decay that the authors leave at 0: AdamW's."""


def box_named(choice: Choice, name: str | None) -> tuple[str, Mapping[str, str]]:
    """Return the name and the specs of an optimizer's box: the preset `name`, or without one the preset that is made
    for its settings, or else the published box. Raises ConfigError for a name that its file does not have."""
    presets: Mapping[str, Mapping[str, Any]] = choice.about.get("presets", {})
    if name is not None and name not in (PUBLISHED, *presets):
        hint = suggest(name, [PUBLISHED, *presets])
        raise ConfigError(f"optimizer={choice.name} has no box '{shown(name)}'", hint)
    if name is None:
        name = next((preset for preset, box in presets.items() if is_made_for(box, choice.settings)), PUBLISHED)
    box = choice.about.get("search", {}) if name == PUBLISHED else presets[name]
    return name, {key: spec for key, spec in box.items() if key != WHEN}


def is_made_for(preset: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Return True for a preset with a condition that these settings fulfil."""
    when = preset.get(WHEN)
    return bool(when) and all(settings.get(key) == value for key, value in when.items())


def dimensions_of(specs: Mapping[str, str], group: str = "optimizer") -> tuple[Dimension, ...]:
    """Return the dimensions of a box, in its order."""
    return tuple(dimension_of_spec(f"{group}.{key}", spec) for key, spec in specs.items())


# -- the rule ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """A dimension of a published box beside what the authors recommend."""

    key: str
    """Within the optimizer: lr, betas.1."""
    spec: str
    kind: str
    default: Any
    recommended: tuple[float, ...]
    """The value, or the two ends of a range, as `about.recommended` or else the default has it."""
    decades: float
    wanted: float
    """The decades that the rule asks for."""
    off_centre: float
    """How far the middle of the box is from the recommended value, in decades."""


def spans_of(about: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the dimensions of the published box of an optimizer with these default settings."""
    leaves = flatten(settings)
    for key, spec in about.get("search", {}).items():
        dimension = dimension_of_spec(key, spec)
        default = leaf(leaves, key)
        found = about.get("recommended", {}).get(key, default)
        ends = tuple(as_number(end) or 0.0 for end in (found if is_list(found) else [found]))
        kind = kind_of(dimension)
        low, high = log10_of(dimension, dimension.low), log10_of(dimension, dimension.high)
        at = [log10_of(dimension, end or NO_DECAY_ADVISED) for end in ends]
        yield Span(
            key,
            spec,
            kind,
            default,
            ends,
            decades=abs(high - low),
            wanted=round(max(WIDTHS[kind], max(at) - min(at)), 2),
            off_centre=abs((low + high) / 2 - (min(at) + max(at)) / 2),
        )


def kind_of(dimension: Dimension) -> str:
    """Return the kind of a hyperparameter, a key of WIDTHS, by its scale and the words of its key."""
    words = dimension.key.rpartition(".")[2].split("_")
    if dimension.one_minus:
        return "decay rate"
    if dimension.key.endswith("weight_decay"):
        return "weight decay"
    if "lr" in (words[0], words[-1]):  # lr, adam_lr, lr_1d
        return "learning rate"
    return "added constant" if words[-1] in ("eps", "damping") else "factor"


def log10_of(dimension: Dimension, value: float) -> float:
    """Return the decimal logarithm of a value, or of 1 - value on that scale."""
    return math.log10(1.0 - value if dimension.one_minus else value)
