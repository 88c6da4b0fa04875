"""Put a run folder in place: copied whole under a hidden name, then renamed, so that an interruption leaves no partial
run folder.

Unfinished copies are in STUDY/.merging, which no reader looks at and the next merge empties. A run moved within one
file system never goes there."""

from __future__ import annotations

import contextlib
import enum
import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from optbench.errors import ConfigError, Locked, StorageError
from optbench.merging.scan import TreeRun
from optbench.store import REPLACED, make_folder, storage_errors, sync_folder

log = logging.getLogger(__name__)

STAGING = ".merging"
LOCK = ".lock"


class TransferMode(enum.StrEnum):
    """The ways to transfer a run folder."""

    COPY = "copy"
    LINK = "link"
    """Hard links if the file system has them; only of finished runs, as the others are still written to."""
    MOVE = "move"


def place_run(run: TreeRun, target: Path, mode: TransferMode, *, replacing: bool = False) -> None:
    """Put a run folder in place; `replacing` sets aside the one that is there.

    Raises StorageError if it cannot be written, ConfigError if the run cannot be read, Locked if it is in use."""
    with run_lock(run.folder), storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if replacing:
            set_aside(target)
        if target.exists():
            raise StorageError(f"{target}: appeared during the merge", "Run the merge again")
        if mode is not TransferMode.MOVE or not moved(run.folder, target):
            staging = target.parent / STAGING / target.name
            make_folder(staging.parent)
            copy_folder(run.folder, staging, link=mode is TransferMode.LINK and run.finished)
            os.rename(staging, target)
            if mode is TransferMode.MOVE:
                remove(run.folder)
        sync_folder(target.parent)
    copy_log(run, target)


def moved(source: Path, target: Path) -> bool:
    """Move a folder within one file system; return False if the target is on another one, or the source is a link."""
    if source.is_symlink():
        return False
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def remove(folder: Path) -> None:
    """Delete a folder that has been copied; of a link to one, only the link."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def copy_folder(source: Path, target: Path, *, link: bool) -> None:
    """Copy the files and folders of a folder to disk, without its lock and without links."""
    try:
        shutil.copytree(
            source,
            target,
            symlinks=True,
            ignore=lambda folder, names: [*not_copied(folder, names), *([LOCK] if folder == str(source) else [])],
            copy_function=link_file if link else copy_to_disk,
        )
    except shutil.Error as error:
        file, _, why = error.args[0][0]
        if not os.access(file, os.R_OK):
            raise ConfigError(f"{file}: cannot be read: {why}") from None
        raise StorageError(f"{target}: cannot be written: {why}") from None
    for folder, _, _ in os.walk(target):
        sync_folder(Path(folder))


def not_copied(folder: str | os.PathLike[str], names: list[str]) -> list[str]:
    """Return the links, FIFOs and devices among the entries of a folder, and name them to the user."""
    found: list[str] = []
    for name in names:
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            log.warning(f"{os.path.join(folder, name)}: left out, since it is a link or not a regular file")
            found.append(name)
    return found


def copy_to_disk(source: str, target: str) -> None:
    """Copy a file with its times, and wait until it is on disk."""
    shutil.copy2(source, target, follow_symlinks=False)
    handle = os.open(target, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_file(source: str, target: str) -> None:
    """Hard-link a file, or copy it if that is not possible."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        copy_to_disk(source, target)


def copy_log(run: TreeRun, target: Path) -> None:
    """Copy the log of the run's worker, unless the new place has one. It is not a result, so failures are ignored."""
    source, new = (folder.parent / "logs" / f"{folder.name}.txt" for folder in (run.folder, target))
    if source.is_file() and not source.is_symlink() and not os.path.lexists(new):
        with contextlib.suppress(OSError):
            new.parent.mkdir(exist_ok=True)
            shutil.copy2(source, new, follow_symlinks=False)


@contextlib.contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run's lock. Raises Locked if another process holds it.

    A folder without a lock, or one that cannot be locked (a read-only disk, a link), is used as it is."""
    from filelock import FileLock, Timeout

    file = folder / LOCK
    lock = FileLock(file, timeout=0) if file.is_file() and not file.is_symlink() else None
    try:
        if lock is not None:
            lock.acquire()
    except Timeout:
        raise Locked(f"{folder}: in use by another process") from None
    except OSError:
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def is_running(folder: Path) -> bool:
    """Return True if another process holds the run's lock."""
    try:
        with run_lock(folder):
            return False
    except Locked:
        return True


def set_aside(folder: Path) -> None:
    """Move a run that is replaced to where `--force` moves such runs."""
    number = 1
    while (aside := folder.parent / REPLACED / f"{folder.name}.{number}").exists():
        number += 1
    with run_lock(folder), storage_errors(folder):
        aside.parent.mkdir(exist_ok=True)
        os.rename(folder, aside)


def clear_staging(study: Path) -> None:
    """Remove what an interrupted merge left behind."""
    if (study / STAGING).exists():
        shutil.rmtree(study / STAGING, ignore_errors=True)
