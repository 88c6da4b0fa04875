"""The choice of a second player: `optimizer_d=` for a GAN's discriminator.

Where nothing is said of it, there is none, and the second player trains by the first one's optimizer. `optimizer_d.lr=`
alone means the same optimizer with another learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optbench.config.runconfig import SECOND, Choice
from optbench.errors import ConfigError


def group_of(key: str) -> str:
    """The group that a choice is made from: `optimizer` for `optimizer_d`, any other group for itself."""
    return SECOND.get(key, key)


def first_of(key: str) -> str:
    """The same dotted key of the first player."""
    head, dot, rest = key.partition(".")
    return group_of(head) + dot + rest


def belongs_to(key: str, second: str) -> bool:
    """Whether a dotted key is of this second choice."""
    return key.partition(".")[0] == second


def check_players(model: Choice, seconds: Mapping[str, Choice | None]) -> None:
    """ConfigError where a model has no second player to give an optimizer to."""
    trained_by: Mapping[str, Any] = model.about.get("players", {})
    for key, choice in seconds.items():
        if choice is not None and key not in trained_by.values():
            raise ConfigError(f"{key}: model={model.name} has one player, which optimizer= trains", f"Leave {key} out")
