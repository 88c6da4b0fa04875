"""Paths that a user types as a value of a data set's key."""

from __future__ import annotations

import os
from pathlib import Path

from optbench.config.content import user_path
from optbench.errors import MissingError
from optbench.files import expanded


def find_user_path(typed: str, root: Path) -> Path:
    """Return the path, with `~` expanded; a relative one that does not exist here is relative to the data folder."""
    given = expanded(typed)
    return user_path(typed, root) or root / given


def missing_path(key: str, typed: str, root: Path, kind: str) -> MissingError:
    """Describe a path that is not there, as typed."""
    given = expanded(typed)
    places = list(dict.fromkeys(os.path.abspath(place) for place in (given, root / given)))
    found = next((place for place in places if os.path.exists(place)), None)
    reason = f"{found} is not a {kind}" if found else f"there is no {' and no '.join(places)}"
    return MissingError(f"{key}={typed}: {reason}", f"Give a {kind} that exists: {key}=PATH")


def looks_like_a_path(name: str) -> bool:
    """Return True for text that no data set of the hub is called: those have at most one slash."""
    return name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name or name.endswith("/")
