"""What a script is asked for and how it answers: the job file, the lines of events, the request to stop.

All of it lies in the folder `script` of the run. The job names the others, a new file of events for each time that the
script is started, so that what an earlier one still writes is not taken for this one's. Whatever the script writes is
data: JSON of known kinds, or passed over."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from optbench.config import RunConfig
from optbench.config.plain import from_plain, to_plain
from optbench.errors import ConfigError, first_line
from optbench.files import open_regular, parse_json, read_json_file
from optbench.store import open_for_writing, write_atomically

VARIABLE = "OPTBENCH_RUN"
"""The environment variable that names the job file."""
FOLDER = "script"  # of a run
LONGEST_LINE = 2**20  # bytes of an event
Event = Mapping[str, Any]

LARGEST = 1e300  # numbers beyond it count as infinite
NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True)
class Job:
    """One start of a script."""

    config: Mapping[str, Any]
    """The whole RunConfig as plain data."""
    run_folder: str
    checkpoint_folder: str
    events: str
    stop: str
    """File that exists once the script is asked to stop."""
    parent: int
    host: str
    cwd: str
    resumed: bool
    recorded: list[int]
    """Steps of the train records of earlier starts."""

    @classmethod
    def of(cls, config: RunConfig, run_folder: Path, checkpoint_folder: Path, number: int, recorded: list[int]) -> Job:
        """Return the job of start number `number`, from 0 on."""
        folder = run_folder / FOLDER
        return cls(
            config=to_plain(config),
            run_folder=str(run_folder),
            checkpoint_folder=str(checkpoint_folder),
            events=str(folder / f"events-{number}.jsonl"),
            stop=str(folder / f"stop-{number}"),
            parent=os.getpid(),
            host=platform.node(),
            cwd=os.getcwd(),
            resumed=number > 0,
            recorded=recorded,
        )

    def write(self, file: Path) -> None:
        """Write the job file."""
        content = json.dumps(asdict(self)).encode()  # with Infinity, which a default may be
        write_atomically(file, lambda out: out.write(content), sync=False)

    @property
    def run_config(self) -> RunConfig:
        """The configuration of the run."""
        return from_plain(self.config)


def read_job(file: Path) -> Job:
    """Return the job of a file. Raises ConfigError for a file that is missing or no job."""
    try:
        return Job(**cast("dict[str, Any]", read_json_file(file)))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"${VARIABLE}={file}: {first_line(error)}", f"Unset {VARIABLE} to run the script alone"
        ) from None


class EventWriter:
    """The script's end of a file of events: each line is written at once, so that several processes may write."""

    def __init__(self, file: Path) -> None:
        self.handle = open_for_writing(file, os.O_APPEND)

    def write(self, kind: str, **fields: object) -> None:
        """Write an event; its numbers may be nan or infinite."""
        os.write(self.handle, (json.dumps({"kind": kind, **plain(fields)}, allow_nan=False) + "\n").encode())


def plain(tree: Any) -> Any:
    """Return a tree of mappings, lists and scalars with nan and infinities as text."""
    if isinstance(tree, Mapping):
        return {str(key): plain(value) for key, value in cast("Mapping[object, object]", tree).items()}
    if isinstance(tree, (list, tuple)):
        return [plain(value) for value in cast("list[object]", tree)]
    return str(tree) if isinstance(tree, float) and not math.isfinite(tree) else tree


class EventReader:
    """The parent's end of a file of events."""

    def __init__(self, file: Path) -> None:
        self.file, self.offset, self.rest = file, 0, b""
        self.strange = 0
        """Number of lines that are no events."""

    def read(self) -> Iterator[Event]:
        """Yield the events of whole lines since the last call."""
        try:
            with open_regular(self.file, follow_links=False) as stream:
                stream.seek(self.offset)
                while chunk := stream.read(LONGEST_LINE):
                    self.offset += len(chunk)
                    *lines, self.rest = (self.rest + chunk).split(b"\n")
                    self.rest = self.rest[-LONGEST_LINE:]
                    yield from self._events(lines)
        except FileNotFoundError:
            return

    def _events(self, lines: list[bytes]) -> Iterator[Event]:
        for line in lines:
            try:
                found = parse_json(line)
            except ValueError:
                found = None
            if isinstance(found, dict) and isinstance(cast("Event", found).get("kind"), str):
                yield cast("Event", found)
            else:
                self.strange += 1


def numbers_in(tree: object) -> dict[str, float | int]:
    """Return the numbers of a mapping by name, the texts nan, inf and -inf among them, and nothing else."""
    found: dict[str, float | int] = {}
    for name, value in cast("dict[str, object]", tree).items() if isinstance(tree, dict) else ():
        value = NONFINITE.get(value, value) if isinstance(value, str) else value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[name] = value if abs(value) < LARGEST or value != value else math.inf if value > 0 else -math.inf
    return found
