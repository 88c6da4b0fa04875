"""Writing that a crash or a power cut cannot tear, and errors of a full or read-only disk."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from optbench.errors import OptbenchError, StorageError, first_line
from optbench.store.links import link_error


def write_atomically(
    path: Path, save: Callable[[IO[bytes]], object], *, sync: bool = True, sync_rename: bool = True
) -> None:
    """Write to a temporary file, then rename it: readers see the old file or the new one.

    Without `sync` a power cut may tear the file until `sync_file` is called. Without `sync_rename` a power cut may
    bring the old file back."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(open_for_writing(temporary, os.O_TRUNC), "wb") as out:
            save(out)
            out.flush()
            if sync:
                os.fsync(out.fileno())
        os.replace(temporary, path)
        if sync and sync_rename:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def open_for_writing(path: Path, flags: int = 0) -> int:
    """Return a descriptor of a regular file, made if it is missing; a link is not followed.

    Raises StorageError for a link, OSError for a directory, a FIFO and a device."""
    always = os.O_WRONLY | os.O_CREAT
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # a system lacks some of them
        always |= getattr(os, name, 0)
    try:
        handle = os.open(path, always | flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_error(path) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return handle


def sync_file(file: Path) -> None:
    """Wait until a file is on disk, whichever process wrote it; a missing file is ignored."""
    with contextlib.suppress(FileNotFoundError), open(file, "rb+") as content:  # Windows syncs only writable files
        os.fsync(content.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until renames in the folder are on disk, on systems that can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Raise StorageError in place of the many errors for a full disk or a folder without write permission."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError):  # raised by filelock
            raise
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    except RuntimeError as error:  # torch's file writer raises it for a full disk, or hides the OSError behind it
        hidden = error.__context__
        if isinstance(error, OptbenchError) or not (isinstance(hidden, OSError) or "write" in str(error).lower()):
            raise
        reason = hidden.strerror if isinstance(hidden, OSError) else first_line(error)
        raise StorageError(f"{path}: cannot be written: {reason}") from error
