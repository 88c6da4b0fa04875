"""Reading of files that anybody may have made: regular files of bounded size, and JSON of bounded depth.

`open(path).read()` waits without end at a FIFO and never ends at /dev/zero; `json.loads` raises RecursionError for deep
nesting. The functions here raise OSError for a file that cannot be read as one (`strerror` says why), ValueError for
damaged content, and nothing else.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from io import BufferedReader
from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes of the largest document that is read as a whole; metrics and data sets may be larger."""


def open_regular(path: Path, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file for reading. Raises OSError for anything else: a missing file, a directory, a FIFO, a device,
    a loop of links, and a link unless `follow_links`."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if not follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        handle = os.open(path, flags)
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path)) from None
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return open(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    raise OSError(errno.EINVAL, "Not a regular file", str(path))


def read_bytes(path: Path, *, limit: int | None = LARGEST, follow_links: bool = True) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; None is without limit.

    Raises OSError as `open_regular` does, and for a larger file."""
    with open_regular(path, follow_links=follow_links) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read() if limit is None else stream.read(min(size, limit) + 1)  # makes room for no more
        if limit is not None and len(content) > size:  # it grew, or the system does not know its size
            content += stream.read(limit + 1 - len(content))
    if limit is not None and len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit / 2**20:g} MiB", str(path))
    return content


def read_text(path: Path, *, limit: int | None = LARGEST, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Return the text of a regular file. Raises OSError as `read_bytes` does, ValueError for another encoding."""
    return read_bytes(path, limit=limit).decode(encoding, errors)


def has_content(path: Path, content: bytes) -> bool:
    """Return True if a file has this content."""
    try:
        return read_bytes(path, limit=len(content)) == content
    except OSError:
        return False


def parse_json(text: str | bytes) -> object:
    """Return the value of a JSON document. Raises ValueError for a damaged or too deeply nested one."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_file(path: Path, *, limit: int | None = LARGEST) -> object:
    """Return the value of a JSON file. Raises OSError as `read_bytes` does, ValueError for damaged content."""
    return parse_json(read_bytes(path, limit=limit))


def expanded(path: str | Path) -> Path:
    """Return a path with `~` and `~user` replaced by the home folder; unchanged for a user that does not exist."""
    try:
        return Path(os.path.expanduser(path))
    except ValueError:  # a NUL in the name
        return Path(path)
