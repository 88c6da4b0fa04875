"""The metric of a script that never calls optbench: from its output, or from a file that it writes.

`stdout`, or the name of a FILE, in which wildcards are allowed:

    stdout                  the JSON objects at the end of lines; other lines are passed over
    FILE.json               one object, or a list of them
    FILE.csv, FILE.tsv      a table whose first line names the columns
    a folder, *tfevents*    TensorBoard events, also in folders below it
    any other FILE          as stdout

The last value counts. What an earlier run left does not count: of a file that was there before the script started, the
lines that it has gained since are read, and a file that is unchanged is refused. So it is for the output, which a run
that is resumed goes on with.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optbench.errors import ConfigError
from optbench.files import expanded, open_regular
from optbench.scripts.event_files import event_files, event_rows, is_event_file, require_tensorboard
from optbench.scripts.measurements import Measured, Row, measured
from optbench.scripts.row_readers import csv_rows, document_rows, holds, line_rows, tail

STDOUT = "stdout"
TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Mark:
    """The state of a file, by which a later change shows."""

    size: int
    changed_ns: int
    end: bytes


class MetricSource:
    """The place of a script's metrics. Make it before the script is started: it notes the files that are there."""

    def __init__(self, source: str, names: Mapping[str, str], folder: Path, output: Path) -> None:
        """`source`: stdout, or a FILE, relative to `folder`; `names`: the script's name of each wanted column;
        `output`: the file that what the script prints goes to.

        Raises ConfigError for an empty source, MissingError for TensorBoard events without the package tensorboard."""
        if not source.strip():
            raise ConfigError("script.read is empty", f"Set script.read={STDOUT} or the name of a file")
        self.source, self.names, self.folder = source, dict(names), folder.absolute()
        self.output = output
        self.pattern = os.path.join(glob.escape(str(self.folder)), expanded(source))
        self.before = {file: mark(file) for file in (output, *self._files())}
        if source.endswith(("/", os.sep)) or any(map(is_event_file, [Path(source), *self.before])):
            require_tensorboard()

    def read(self) -> Measured:
        """Return what the script has measured so far. Raises MissingError as `__init__` does."""
        try:
            return self._from_output() if self.source == STDOUT else self._from_files(self._written())
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            return Measured(problem=f"{self.source}: {reason}")

    def is_shared(self, run_folder: Path) -> bool:
        """Return True if another run may write the same files: those outside the folder of the run."""
        own = os.path.join(glob.escape(str(run_folder.absolute())), "")
        return self.source != STDOUT and not self.pattern.startswith(own)

    def _from_output(self) -> Measured:
        before = self.before[self.output]
        found = measured(line_rows(self.output, before.size if before else 0), self.names, "the script's output")
        missing = [name for column, name in self.names.items() if column not in found.final]
        if not missing or not holds(self.output, missing[0]):
            return found
        hint = f"{missing[0]} is in its text, but in no line of JSON such as print(json.dumps({{{missing[0]!r}: 0.9}}))"
        return replace(found, problem=f"{found.problem}: {hint}")

    def _from_files(self, files: Sequence[Path]) -> Measured:
        events = [file for file in files if is_event_file(file)]
        if not events:
            newest = max(files, key=lambda file: file.stat().st_mtime_ns)
            return measured(self._rows(newest), self.names, newest.name)
        folders = {file.parent for file in events}
        found = [
            (folder, measured(event_rows([file for file in events if file.parent == folder]), self.names, self.source))
            for folder in sorted(folders)
        ]
        holding = [(folder, values) for folder, values in found if values.final.keys() & self.names.keys()]
        if len(holding) > 1:
            named = ", ".join(str(folder.relative_to(self.folder)) for folder, _ in holding[:3])
            raise ValueError(f"{len(holding)} folders have events with {next(iter(self.names.values()))}: {named}")
        return (holding or found)[0][1]

    def _rows(self, file: Path) -> Iterable[Row]:
        """Return the rows that a file has gained since the script was started."""
        before, suffix = self.before.get(file), file.suffix.lower()
        start = before.size if before and tail(file, before.size) == before.end else 0
        if start == file.stat().st_size:  # written again, with the same content
            start = 0
        if suffix in TABLES:
            return csv_rows(file, self.names.values(), start)
        rows = document_rows(file) if suffix == ".json" else None
        return line_rows(file, start) if rows is None else rows

    def _files(self) -> list[Path]:
        """Return the files that the source names."""
        if self.source == STDOUT:
            return []
        found = map(Path, sorted(glob.glob(self.pattern, recursive=True)))
        return [file for path in found for file in (event_files(path) if path.is_dir() else [path])]

    def _written(self) -> list[Path]:
        """Return the files that were written since the script was started. Raises ValueError if there is none."""
        found = {file: mark(file) for file in self._files()}
        if not found:
            raise ValueError("the script wrote no such file")
        written = [file for file, now in found.items() if now is not None and now != self.before.get(file)]
        if not written:
            old = any(now is not None for now in found.values())
            raise ValueError("left by an earlier run; this one did not write it" if old else "cannot be read as a file")
        return written


def mark(file: Path) -> Mark | None:
    """Return the state of a regular file; None for anything else."""
    try:
        with open_regular(file) as stream:
            found = os.fstat(stream.fileno())
        return Mark(found.st_size, found.st_mtime_ns, tail(file, found.st_size))
    except OSError:
        return None
