"""Folders whose content only this user can have written, and names of temporary ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from optbench.errors import StorageError
from optbench.files import expanded
from optbench.store.atomic import storage_errors


def cache_folder() -> Path:
    """Return the folder of what optbench remembers: $OPTBENCH_CACHE_DIR, else ~/.cache/optbench."""
    return expanded(os.environ.get("OPTBENCH_CACHE_DIR") or "~/.cache/optbench")


def private_folder(folder: Path, hint: str = "") -> Path:
    """Return a folder that no other user can write to; make it (0700) if it is missing.

    Raises StorageError, with the hint, if another user owns it, or can write to it or replace a folder above it."""
    with storage_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = folder.resolve()
        own, above = place.stat(), [parent.stat() for parent in place.parents]
    if not hasattr(os, "getuid"):  # Windows: a profile is private
        return place
    if own.st_uid != os.getuid() or own.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StorageError(f"{folder}: other users can write to it", hint or f"Say: chmod 700 {folder}")
    for parent, state in zip(place.parents, above, strict=True):
        if is_open_to_others(state):
            raise StorageError(f"{folder}: other users can replace it, since they can write to {parent}", hint)
    return place


def is_open_to_others(state: os.stat_result) -> bool:
    """Return True if other users may rename what is in a folder. A user's own group has the user's number."""
    group = stat.S_IWGRP if state.st_gid != state.st_uid else 0
    return bool(state.st_mode & (stat.S_IWOTH | group)) and not state.st_mode & stat.S_ISVTX


def process_space() -> int:
    """Return the number of the space in which process numbers count: containers may share a temporary directory."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        return 0


def scratch_prefix() -> str:
    """Return the beginning of a temporary folder's name, which says whose it is: optbench-SPACE-PROCESS-."""
    return f"optbench-{process_space()}-{os.getpid()}-"
