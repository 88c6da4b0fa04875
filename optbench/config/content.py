"""Fingerprints of the files that a user names: `data.path`, `data.tokenizer`. They are part of a run's identity.

Content decides, not times and not the place: the same files elsewhere are the same data, other content under the same
name is other data. Looking is quick all the same: names, sizes and times (of change, and of the inode's change, which
no copying sets back) say whether files may have changed since they were read, and the hash of unchanged ones is found
in the user's cache folder. Not seen are: hidden and foreign files, which no data set reads; in more than WHOLE_BYTES,
bytes beyond the ends of SAMPLED files; and, within one process, changes soon after a listing that took longer than
SLOW_SECONDS.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

from optbench.config.foreign_entries import is_foreign
from optbench.config.runconfig import Choice, sha256_of
from optbench.config.trees import flatten
from optbench.errors import ConfigError
from optbench.files import expanded, open_regular, read_json_file

WHOLE_BYTES = 16 << 30  # read in full; of larger data sets, the names and sizes of all files and the ends of some
SAMPLED, END_BYTES = 1000, 1 << 20
CACHED_BYTES = 1 << 20  # smaller data are read faster than remembered
TOLD_BYTES = 1 << 30  # reading this much takes seconds
SYSTEM = {"/", "/proc", "/sys", "/dev"}  # listing them takes hours or never ends
CLOCK_SECONDS = 2.0  # files that changed so recently may change again without a new time
SLOW_SECONDS = 0.5  # a slower listing (some 50,000 files) is trusted for TRUST times as long: looking costs at most 5 %
TRUST = 20.0
THREADS = 4

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One file: its name below the path, and what tells whether it may have changed."""

    name: str
    size: int
    modified: int
    changed: int


class Seen(NamedTuple):
    """The fingerprint of a path, the state of the files that it is for, and until when they need no listing."""

    stamp: str
    sha256: str
    until: float


_seen: dict[Path, Seen] = {}


def with_content(group: str, choice: Choice, data_dir: object) -> Choice:
    """Return the choice with the fingerprints of the files that its settings name, by key (`about.content_sha256`).

    `about.files` lists these keys. In a data set without the list, any text that names an existing file counts. Raises
    ConfigError for the root of the file system and the like."""
    leaves = flatten(choice.settings)
    keys: Iterable[str] = choice.about.get("files", leaves if group == "data" else ())
    found: dict[str, str] = {}
    for key in keys:
        path = user_path(leaves.get(key), data_folder(data_dir))
        if path is not None and os.path.realpath(path) in SYSTEM:
            raise ConfigError(f"{group}.{key}={leaves[key]}: is a folder of the system", "Name the folder of the data")
        sha256 = fingerprint(path) if path is not None else None
        if sha256 is not None:
            found[key] = sha256
    if not found:
        return choice
    return replace(choice, about={**choice.about, "content_sha256": found})


def data_folder(data_dir: object) -> Path:
    """Return the folder of downloaded data: as given, else $OPTBENCH_DATA_DIR, else ~/.cache/optbench/data."""
    return expanded(str(data_dir or os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data"))


def user_path(value: object, root: Path) -> Path | None:
    """Return the file or folder that a setting names: relative to this folder, else to the data folder; None if absent.

    Data sets look for it in the same order."""
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    given = expanded(value)
    return next((path for path in (given, root / given) if os.path.exists(path)), None)


def fingerprint(path: Path) -> str | None:
    """Return a hash of the content of a file, or of the names and contents of all files below a folder.

    None if there is no such path."""
    place, began = Path(os.path.abspath(path)), time.monotonic()
    seen = _seen.get(place)
    if seen is not None and began < seen.until:
        return seen.sha256
    if not os.path.exists(place):
        return None
    entries = sorted(listed(place))
    stamp = sha256_of([list(entry) for entry in entries])
    took = time.monotonic() - began
    if seen is not None and seen.stamp == stamp:
        sha256 = seen.sha256
    else:
        sha256 = cached(place, stamp) or content_sha256(place, entries, stamp)
    _seen[place] = Seen(stamp, sha256, time.monotonic() + (TRUST * took if took > SLOW_SECONDS else 0.0))
    return sha256


def listed(place: Path) -> Iterator[Entry]:
    """Yield every file at or below a path, without hidden ones and those that cannot be read. Links are followed."""
    if not place.is_dir():
        yield entry_of(place.suffix, place.stat())  # a file's own name says nothing
        return
    waiting = [("", str(place), frozenset[tuple[int, int]]())]
    while waiting:
        prefix, folder, above = waiting.pop()
        with contextlib.suppress(OSError):
            state = os.stat(folder)
            here = (state.st_dev, state.st_ino)
            if here in above:  # a link to a folder that it lies in
                continue
            for found in os.scandir(folder):
                if is_foreign(found.name):
                    continue
                with contextlib.suppress(OSError):
                    if found.is_dir():
                        waiting.append((f"{prefix}{found.name}/", found.path, above | {here}))
                    elif found.is_file():  # reading a FIFO would wait without end
                        yield entry_of(prefix + found.name, found.stat())


def entry_of(name: str, state: os.stat_result) -> Entry:
    """Return the entry of one file."""
    return Entry(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def content_sha256(place: Path, entries: list[Entry], stamp: str) -> str:
    """Hash names, sizes and bytes of the files, and remember the hash."""
    now, total = time.time(), sum(entry.size for entry in entries)
    if total >= TOLD_BYTES:
        log.info(f"reading {place} once to know its content ({total / 1e9:,.1f} GB)")
    whole = total <= WHOLE_BYTES
    step = 1 if whole else -(-len(entries) // SAMPLED)
    folder = place.is_dir()
    digest = hashlib.sha256()

    def hashed(entry: Entry) -> bytes:
        return file_sha256(place / entry.name if folder else place, entry.size if whole else END_BYTES)

    with ThreadPoolExecutor(THREADS) as pool:
        for entry, part in zip(entries[::step], pool.map(hashed, entries[::step]), strict=True):
            digest.update(f"{entry.name}\n".encode(errors="surrogateescape") + part)
    if not whole:
        digest.update("\n".join(f"{entry.name}:{entry.size}" for entry in entries).encode(errors="surrogateescape"))
    newest = max((max(entry.modified, entry.changed) for entry in entries), default=0)
    if total >= CACHED_BYTES and newest / 1e9 < now - CLOCK_SECONDS:
        remember(place, stamp, digest.hexdigest())
    return digest.hexdigest()


def file_sha256(file: Path, ends: int) -> bytes:
    """Hash the first and the last `ends` bytes of a file; nothing of one that cannot be read."""
    digest = hashlib.sha256()
    with contextlib.suppress(OSError), open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= 2 * ends:
            return hashlib.file_digest(stream, "sha256").digest()
        digest.update(stream.read(ends))
        stream.seek(size - ends)
        digest.update(stream.read())
    return digest.digest()


def cache_file(place: Path) -> Path:
    """Return the file that remembers the hash of a path: below $OPTBENCH_CACHE_DIR, or ~/.cache/optbench."""
    root = expanded(os.environ.get("OPTBENCH_CACHE_DIR") or "~/.cache/optbench")
    return root / "fingerprints" / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:32]}.json"


def cached(place: Path, stamp: str) -> str | None:
    """Return the remembered hash of a path; None if its files have changed since, or nothing is remembered."""
    try:
        known = cast("dict[str, object]", read_json_file(cache_file(place)))
        return str(known["sha256"]) if known["stamp"] == stamp else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(place: Path, stamp: str, sha256: str) -> None:
    """Write the hash of a path to the cache folder; one that cannot be written is not needed."""
    file = cache_file(place)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"stamp": stamp, "sha256": sha256}))
        os.replace(temporary, file)
