"""The checkpoints of one run: the last two while it trains, so that there is one before a damaged one.

    step-000000100-SHA256.pt      a file
    step-000000100-SHA256.parts   a folder to which several ranks wrote

The name holds the SHA-256 of the content, so that both appear by the same rename. Checkpoints of earlier versions have
none. Other files in the folder are left alone.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from optbench.errors import StorageError, first_line, is_out_of_memory
from optbench.store.atomic import open_for_writing, storage_errors, sync_file, sync_folder
from optbench.store.links import make_folder, refuse_link

State = TypeVar("State", bound=Mapping[str, Any])

log = logging.getLogger(__name__)

NAME = re.compile(r"step-(\d{9,})(?:-([0-9a-f]{64}))?\.(?:pt|parts)")
OURS = re.compile(r"step-\d{9,}(-[0-9a-f]{64})?\.(pt|parts)|\.step-\d{9,}\.(pt|parts)\.tmp")


class Checkpoints:
    """The folder `checkpoints/` of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: Path | None = None
        """The checkpoint that this process wrote or loaded last."""

    def exist(self) -> bool:
        """Return True if the folder is there."""
        return self.folder.exists()

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, step: int, save: Callable[[IO[bytes]], object]) -> Path:
        """Let `save(file)` write a checkpoint. The one before it is kept until the next is written."""
        with storage_errors(self.folder):
            temporary = self._make_room(step, ".pt")
            try:
                raw = HashingFile(temporary)
                with io.BufferedWriter(raw) as out:
                    save(out)
                    out.flush()
                    os.fsync(out.fileno())
                return self._put(temporary, f"step-{step:09d}-{raw.digest.hexdigest()}.pt")
            finally:
                temporary.unlink(missing_ok=True)

    def write_parts(self, step: int, save: Callable[[Path], object]) -> Path:
        """Let `save(folder)` write a checkpoint into an empty folder. The one before it is kept as by `write`."""
        with storage_errors(self.folder):
            temporary = self._make_room(step, ".parts")
            temporary.mkdir()
            save(temporary)
            for file in temporary.iterdir():
                sync_file(file)
            sync_folder(temporary)
            return self._put(temporary, f"step-{step:09d}-{sha256_of(temporary)}.parts")

    def _make_room(self, step: int, kind: str) -> Path:
        """Delete all checkpoints but the last good one; return the temporary place of the next."""
        make_folder(self.folder)
        self.keep(self.last)
        return self.folder / f".step-{step:09d}{kind}.tmp"

    def _put(self, temporary: Path, name: str) -> Path:
        path = self.folder / name
        if path.is_dir():  # the same content once more
            shutil.rmtree(path)
        os.replace(temporary, path)
        sync_folder(self.folder)
        self.last = path
        return path

    def keep(self, path: Path | None) -> None:
        """Delete all checkpoints but this one, and what interrupted writes left."""
        for other in self._ours():
            if other != path:
                delete(other)

    def drop(self) -> None:
        """Delete the checkpoints, and the folder unless something else is in it."""
        with storage_errors(self.folder):
            self.keep(None)
            if self.folder.exists() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _ours(self) -> list[Path]:
        refuse_link(self.folder)
        return [path for path in self.folder.iterdir() if OURS.fullmatch(path.name)] if self.folder.is_dir() else []

    # -- reading -----------------------------------------------------------------------------------------------------

    def newest_first(self) -> list[Path]:
        """Return the checkpoints by step, and those of one step by the time of writing."""
        found = [(match, path) for path in self._ours() if (match := NAME.fullmatch(path.name))]
        found.sort(key=lambda pair: (int(pair[0][1]), pair[1].lstat().st_mtime_ns), reverse=True)
        return [path for _, path in found]

    def read(self, run_id: str, records_bytes: int, read: Callable[[Path], State]) -> Iterator[tuple[Path, State]]:
        """Yield the run's checkpoints that `read(path)` can read and whose records exist, newest first.

        A notice says why another is left out."""
        for path in self.newest_first():
            try:
                state = self._checked(path, run_id, records_bytes, read)
            except StorageError:
                raise
            except PermissionError as error:
                raise StorageError(f"{path}: cannot be read: {error.strerror}", "Mend its permissions") from None
            except Exception as error:  # torch raises many kinds for a damaged file
                if is_out_of_memory(error):
                    raise
                leave_out(path, error)
            else:
                yield path, state

    @staticmethod
    def _checked(path: Path, run_id: str, records_bytes: int, read: Callable[[Path], State]) -> State:
        """Return the content of a checkpoint. Raises ValueError if it is damaged, or not of this run or its records."""
        match = NAME.fullmatch(path.name)
        content = files_of(path)
        if match and match[2] and sha256_of(path, content) != match[2]:
            raise ValueError("its content does not have the SHA-256 in its name")
        state = read(path)
        if state["run_id"] != run_id:
            raise ValueError(f"it belongs to the run {state['run_id']}")
        if state["records_bytes"] > records_bytes:
            raise ValueError("records before it are missing from metrics.jsonl")
        return state


def leave_out(path: Path, reason: Exception | str) -> None:
    """Tell the user that a checkpoint is not used."""
    if isinstance(reason, Exception):
        told = isinstance(reason, ValueError) and type(reason) is ValueError
        reason = first_line(reason) if told else f"it cannot be read ({type(reason).__name__}: {first_line(reason)})"
    log.warning(f"{path} is left out: {reason}")


class HashingFile(io.FileIO):
    """A new file that hashes what is written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(open_for_writing(path, os.O_TRUNC), "wb")
        self.digest = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        """Write bytes, perhaps not all of them; return how many."""
        count = super().write(data)
        self.digest.update(memoryview(data).cast("B")[:count])
        return cast(int, count)


def files_of(path: Path) -> list[Path]:
    """Return the files of a checkpoint, by name. Raises ValueError for a link, a FIFO and the like among them."""
    found = sorted(path.iterdir()) if path.is_dir() and not path.is_symlink() else [path]
    for file in found:
        if not stat.S_ISREG(file.lstat().st_mode):
            raise ValueError(f"{file.name} is not a regular file")
    return found


def sha256_of(path: Path, files: list[Path] | None = None) -> str:
    """Return the SHA-256 of a checkpoint: of its content, or for a folder of the lines that `sha256sum` prints."""
    lines: list[str] = []
    for file in files_of(path) if files is None else files:
        with open(file, "rb") as content:
            lines.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest() if path.is_dir() else lines[0].partition(" ")[0]


def delete(path: Path) -> None:
    """Delete a file, a link or a folder; never what a link points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def checkpoint_step(run: Path) -> int:
    """Return the step of the last checkpoint in a run's folder; -1 if there is none."""
    folder = run / "checkpoints"
    names = (NAME.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return max((int(match[1]) for match in names if match), default=-1)
