"""What pydantic finds wrong with a file or with settings, as one ConfigError."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from optbench.config.overrides import near, shown
from optbench.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError


def config_error(error: ValidationError, where: str = "", known: Collection[str] = ()) -> ConfigError:
    """Return the first problem as a ConfigError: `where`, the key, its value, and what the value must be.

    An unknown key gets the nearest one of `known` as its hint, or all of them."""
    problem = error.errors(include_url=False)[0]
    key = where + key_at(problem["loc"])
    if problem["type"] == "extra_forbidden":
        match = near(str(problem["loc"][-1]), list(known))
        hint = f"Known: {', '.join(known)}" if known else ""
        return ConfigError(f"{key}: unknown key", f"Did you mean {match}?" if match else hint)
    if problem["type"].startswith("missing"):
        return ConfigError(f"{key}: missing")
    expected = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return ConfigError(f"{key}={shown(str(problem['input']))}: {expected}")


def key_at(location: tuple[int | str, ...]) -> str:
    """Return a place in a tree as people write it: ("claim", 0, "of") is claim[0].of."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
