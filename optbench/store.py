"""Results on disk: results/<study>/<run_id>/, one writer each, an ended run marked by `result.json`.

    run.json        what was run, written before training
    metrics.jsonl   one record a line
    result.json     written last, by atomic rename: the mark of an ended run
    checkpoints/    the last good one
    pictures/       NAME-step-000000100.png, what the task had to show at an evaluation
    .lock           held by the one process that writes

Readers need nothing but the standard library and tolerate a torn last line.

Waiting for the disk (fsync) is most of what a short run costs here, so it is done where a promise needs it: what a
result or a checkpoint speaks of lies on disk before the rename that shows it, so that a power cut leaves nothing
wrong; and a rename is waited for where something is deleted in its favour, so that no more is lost than what was done
since the last checkpoint.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, Locked, OptbenchError, StorageError, first_line
from optbench.records import Record, without_nonfinite

log = logging.getLogger(__name__)

REPLACED = ".replaced"  # where `--force` sets old runs of a study aside


def results_root(given: str | Path | None) -> Path:
    """The results folder: as given, else $OPTBENCH_RESULTS_DIR, else ./results."""
    return Path(given or os.environ.get("OPTBENCH_RESULTS_DIR") or "results").expanduser()


def check_study(study: str) -> None:
    """ConfigError for a study that is no plain folder name."""
    if not study or study.startswith(".") or any(c in study for c in "/\\\0"):
        raise ConfigError(f"--study {study!r}: a study is a plain folder name")


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path, study: str, run_id: str) -> None:
        self.path = root / study / run_id
        self.run_file = self.path / "run.json"
        self.result_file = self.path / "result.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self._metrics: io.TextIOWrapper | None = None
        self._unsafe = {self.run_file, self.metrics_file}  # what may lie in memory alone; another process began it

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one writer. The system drops the lock of a killed process by itself.

        Raises Locked where another process is at it, StorageError where the folder cannot be written."""
        from filelock import FileLock, Timeout

        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
        try:
            with explained(self.path):
                lock.acquire()
        except Timeout:
            raise Locked(f"{self.path.name} is being run by another process", f"Its folder: {self.path}") from None
        try:
            yield
        finally:
            self.close()
            self._leave_nothing()
            lock.release()

    def _leave_nothing(self) -> None:
        """Delete a folder in which nothing but the lock was made: of a run that was refused before it began."""
        if [entry.name for entry in self.path.iterdir()] == [".lock"]:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                (self.path / ".lock").unlink()
                self.path.rmdir()

    # -- writing -----------------------------------------------------------------------------------------------------

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json. The first checkpoint, or the result, waits for it; one that checkpoints already stand on is
        never torn."""
        write_json(self.run_file, run, to_disk=self.checkpoints.exists(), settled=False)
        self._unsafe.add(self.run_file)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write result.json: from here on the run has ended."""
        self.sync()
        write_json(self.result_file, result, settled=self.checkpoints.exists())  # they may be deleted now

    def append(self, record: Record) -> None:
        """Append a line to metrics.jsonl; whole lines reach the system at once."""
        if self._metrics is None:
            self._metrics = open(self.metrics_file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._unsafe.add(self.metrics_file)
        with explained(self.metrics_file):
            self._metrics.write(json.dumps(record.as_row(), allow_nan=False) + "\n")

    def write_picture(self, name: str, step: int, pixels: Any) -> Path:
        """Write uint8 pixels (H, W, 3) as a PNG file."""
        from PIL import Image

        with explained(self.pictures):
            self.pictures.mkdir(exist_ok=True)
            path = self.pictures / f"{name}-step-{step:09d}.png"
            write_atomically(path, lambda out: Image.fromarray(pixels).save(out, "PNG"), to_disk=False)
        self._unsafe.add(path)
        return path

    def sync(self) -> int:
        """Bring what was written so far safely to disk; returns the length of metrics.jsonl in bytes."""
        if self._metrics is not None:
            with explained(self.metrics_file):
                self._metrics.flush()
        for file in sorted(self._unsafe):
            with explained(file):
                sync_file(file)
        self._unsafe.clear()
        return self._records_bytes()

    def _records_bytes(self) -> int:
        return self.metrics_file.stat().st_size if self.metrics_file.exists() else 0

    def cut_back(self, length: int) -> None:
        """Forget the records after the first `length` bytes of metrics.jsonl."""
        self.close()
        self._unsafe.add(self.metrics_file)
        if self.metrics_file.exists():
            os.truncate(self.metrics_file, length)

    def close(self) -> None:
        """Close metrics.jsonl."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def set_aside(self) -> Path | None:
        """Move everything of an earlier run out of the way; returns where it lies now."""
        old = [entry for entry in self.path.iterdir() if entry.name != ".lock"]
        if not old:
            return None
        number = 1
        while (aside := self.path.parent / REPLACED / f"{self.path.name}.{number}").exists():
            number += 1
        aside.mkdir(parents=True)
        for entry in old:
            entry.rename(aside / entry.name)
        return aside

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def write_checkpoint(self, step: int, save: Callable[[Any], None]) -> Path:
        """Let `save(file)` write a checkpoint; when it is whole, it replaces the one before."""
        with explained(self.checkpoints):
            self.checkpoints.mkdir(exist_ok=True)
            path = self.checkpoints / f"step-{step:09d}.pt"
            write_atomically(path, save)
            self._keep_only(path)
        return path

    def write_parts(self, step: int, save: Callable[[Path], None]) -> Path:
        """Let `save(folder)` fill an empty folder as a checkpoint; when it is whole, it replaces the one before."""
        with explained(self.checkpoints):
            path = self.checkpoints / f"step-{step:09d}.parts"
            began = path.with_name(f".{path.name}.tmp")
            shutil.rmtree(began, ignore_errors=True)
            began.mkdir(parents=True)
            save(began)
            if path.exists():  # written before, and never read: it was spoilt
                shutil.rmtree(path)
            os.replace(began, path)
            sync_folder(self.checkpoints)
            self._keep_only(path)
        return path

    def _keep_only(self, path: Path) -> None:
        """Delete the checkpoints but one."""
        for other in self.checkpoints.iterdir():
            if other.is_dir() and other != path:
                shutil.rmtree(other)
            elif other != path:
                other.unlink()

    def read_checkpoint(self, read: Callable[[Path], Any]) -> Any:
        """The newest checkpoint that `read(path)` can read and whose records are there, or None; a notice for each that
        is left out."""
        for path in sorted(self.checkpoints.glob("step-*"), reverse=True):
            try:
                state = read(path)
            except Exception as error:  # one that a failing disk has spoilt; torch raises many kinds
                log.info(f"{path} cannot be read ({type(error).__name__}) and is left out")
                continue
            if state["records_bytes"] <= self._records_bytes():
                return state
            log.info(f"{path} is left out: records that it goes on from are no longer in {self.metrics_file.name}")
        return None

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    # -- reading -----------------------------------------------------------------------------------------------------

    def result(self) -> dict[str, Any] | None:
        """result.json, or None where the run has not ended."""
        return read_json(self.result_file)

    def run(self) -> dict[str, Any] | None:
        """run.json, or None where there is none."""
        return read_json(self.run_file)

    def records(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return read_records(self.metrics_file)


def read_records(file: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; a torn last line is left out. Raises ValueError for damage elsewhere."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or None where there is no whole one."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None


def write_json(file: Path, tree: Mapping[str, Any], *, to_disk: bool = True, settled: bool = True) -> None:
    """Write a JSON object, whole or not at all; what is not finite becomes null. See `write_atomically`."""
    text = json.dumps(without_nonfinite(tree), indent=2, allow_nan=False) + "\n"
    with explained(file):
        write_atomically(file, lambda out: out.write(text.encode()), to_disk=to_disk, settled=settled)


def write_atomically(path: Path, save: Callable[[Any], Any], *, to_disk: bool = True, settled: bool = True) -> None:
    """Write through a temporary file, then rename: readers see the old file or the new one.

    After a power cut too, unless `to_disk` is False: then it may be torn, until `sync_file`. Without `settled` the
    rename itself is not waited for: a power cut may bring the old file back."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as out:
            save(out)
            out.flush()
            if to_disk:
                os.fsync(out.fileno())
        os.replace(temporary, path)
        if to_disk and settled:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(file: Path) -> None:
    """Wait until a file lies on disk, whoever wrote it; nothing where there is none."""
    with contextlib.suppress(FileNotFoundError), open(file, "rb+") as content:  # Windows syncs what can be written
        os.fsync(content.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut, where the system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """A full disk or a folder without write permission as one clear error."""
    try:
        yield
    except OSError as error:
        if isinstance(error, TimeoutError):  # filelock's
            raise
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    except RuntimeError as error:  # torch's file writer reports a full disk so, or hides it behind an error of its own
        hidden = error.__context__
        if isinstance(error, OptbenchError) or not (isinstance(hidden, OSError) or "write" in str(error).lower()):
            raise
        reason = hidden.strerror if isinstance(hidden, OSError) else first_line(error)
        raise StorageError(f"{path}: cannot be written: {reason}") from error


def run_folders(root: Path, study: str | None = None) -> Iterator[RunFolder]:
    """Every run folder below the results folder that has a run.json, sorted."""
    for run_file in sorted(root.glob(f"{study or '*'}/*/run.json")):
        if not run_file.parent.parent.name.startswith(".") and not run_file.parent.name.startswith("."):
            yield RunFolder(root, run_file.parent.parent.name, run_file.parent.name)
