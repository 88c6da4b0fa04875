"""A run folder to its place: copied whole under a hidden name, then renamed, so that whatever happens leaves whole run
folders only. What an interrupted merge was at lies in STUDY/.merging, which no reader looks at and the next one
empties; a run that is moved within a file system never lies there."""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from optbench.errors import ConfigError, Locked, StorageError
from optbench.merging.scan import Held
from optbench.store import REPLACED, explained, sync_folder

WAITING = ".merging"
LOCK = ".lock"


class Way(enum.StrEnum):
    """How a run folder gets to its place."""

    COPY = "copy"
    LINK = "link"
    """Hard links where the file system has them; of ended runs only, as others are written to."""
    MOVE = "move"


def place(held: Held, target: Path, way: Way, *, replacing: bool = False) -> None:
    """Bring a run folder to its place, which is free, or is made so where another one is to be replaced. Raises
    StorageError where it cannot be written, ConfigError where the run cannot be read, Locked where it is being run."""
    with still(held.folder), explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if replacing:
            set_aside(target)
        if target.exists():
            raise StorageError(f"{target}: it has appeared just now", "Merge again")
        if way is not Way.MOVE or not renamed(held.folder, target):
            waiting = target.parent / WAITING / target.name
            waiting.parent.mkdir(exist_ok=True)
            copied(held.folder, waiting, link=way is Way.LINK and held.has_ended)
            os.rename(waiting, target)
            if way is Way.MOVE:
                shutil.rmtree(held.folder, ignore_errors=True)
        sync_folder(target.parent)
    bring_log(held, target)


def renamed(source: Path, target: Path) -> bool:
    """Move a folder within one file system; False where it is another one."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def copied(source: Path, target: Path, *, link: bool) -> None:
    """Copy a folder, to disk; its lock is not part of it, links stay links."""
    try:
        shutil.copytree(
            source,
            target,
            symlinks=True,
            ignore=lambda folder, names: [LOCK] if folder == str(source) else [],
            copy_function=linked if link else copy_to_disk,
        )
    except shutil.Error as error:
        file, _, why = error.args[0][0]
        if not os.access(file, os.R_OK):
            raise ConfigError(f"{file}: cannot be read: {why}") from None
        raise StorageError(f"{target}: cannot be written: {why}") from None
    for folder, _, _ in os.walk(target):
        sync_folder(Path(folder))


def copy_to_disk(source: str, target: str) -> None:
    """Copy a file with its times, and wait until it lies on disk."""
    shutil.copy2(source, target)
    handle = os.open(target, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def linked(source: str, target: str) -> None:
    """The same file under another name; a copy where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        copy_to_disk(source, target)


def bring_log(held: Held, target: Path) -> None:
    """What the run's worker printed, if it is there and none is at the new place; it is no result, and not waited
    for."""
    source, new = (folder.parent / "logs" / f"{folder.name}.txt" for folder in (held.folder, target))
    if source.is_file() and not new.exists():
        with contextlib.suppress(OSError):
            new.parent.mkdir(exist_ok=True)
            shutil.copy2(source, new)


@contextlib.contextmanager
def still(folder: Path) -> Iterator[None]:
    """Nobody writes to the run meanwhile. Raises Locked where somebody does; a folder without a lock, or one that
    cannot be locked (a read-only disk), is taken as it is."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0) if (folder / LOCK).exists() else None
    try:
        if lock is not None:
            lock.acquire()
    except Timeout:
        raise Locked(f"{folder} is being run by another process") from None
    except OSError:
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def is_running(folder: Path) -> bool:
    """Whether another process writes to the run."""
    try:
        with still(folder):
            return False
    except Locked:
        return True


def set_aside(folder: Path) -> None:
    """Move a run that another one replaces out of the way, to where `--force` has such."""
    number = 1
    while (aside := folder.parent / REPLACED / f"{folder.name}.{number}").exists():
        number += 1
    with still(folder), explained(folder):
        aside.parent.mkdir(exist_ok=True)
        os.rename(folder, aside)


def clear(study: Path) -> None:
    """Empty what an interrupted merge was at."""
    if (study / WAITING).exists():
        shutil.rmtree(study / WAITING, ignore_errors=True)
