"""The optimizer of a second player: `optimizer_d=` for a GAN's discriminator.

By default the second player trains with the first one's optimizer. `optimizer_d.lr=` alone means the same optimizer
with another learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping

from optbench.config.runconfig import SECOND, Choice
from optbench.errors import ConfigError


def group_of(key: str) -> str:
    """Return the group that a choice is made from: `optimizer` for `optimizer_d`, any other group for itself."""
    return SECOND.get(key, key)


def first_of(key: str) -> str:
    """Return the same dotted key of the first player."""
    head, dot, rest = key.partition(".")
    return group_of(head) + dot + rest


def check_players(model: Choice, seconds: Mapping[str, Choice | None]) -> None:
    """Raise ConfigError for a second player's optimizer where the model has no second player."""
    players: Mapping[str, str] = model.about.get("players", {})
    for key, choice in seconds.items():
        if choice is not None and key not in players.values():
            raise ConfigError(f"{key}: model={model.name} has one player, which optimizer= trains", f"Leave out {key}")
