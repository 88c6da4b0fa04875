"""Read AlgoPerf's log folders as a table of times to target.

SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/eval_measurements.csv holds a line for each evaluation, with
`accumulated_submission_time` in seconds and metrics as `validation/NAME`. A trial's time is that of its first
evaluation at or beyond the target. Evaluations that are not numbers never reach it. A trial without any evaluation has
not reached its target: failures are censored, not dropped.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from optbench.config.yaml_reader import load_yaml
from optbench.errors import ConfigError, NoResultsError
from optbench.files import read_text

FILE = "eval_measurements.csv"
TIME = "accumulated_submission_time"
FRAMEWORK = re.compile(r"^(.+)_(jax|pytorch)$")
NUMBERED = re.compile(r"^(study|trial)_(\w+)$")
TARGETS = Path(__file__).with_name("targets.yaml")


@dataclass(frozen=True)
class Target:
    """The metric value that counts as trained on a workload."""

    metric: str
    value: float
    direction: str
    """max or min"""


@dataclass(frozen=True)
class ImportedLogs:
    """A long table, and what was left out of it."""

    rows: tuple[tuple[str, str, str, str, float], ...]
    """(submission, workload, study, trial, seconds); infinite: target not reached"""
    skipped: tuple[tuple[str, str], ...]
    """(path, why)"""
    notes: tuple[tuple[str, str], ...] = ()
    """(path, what is odd) of trials that are in the table"""


def read_targets(path: Path | None) -> dict[str, Target]:
    """Return targets by workload; those of a file, {WORKLOAD: {metric, value, direction}}, override the built-in ones.

    Raises ConfigError."""
    known = targets_in(TARGETS)
    return known if path is None else known | targets_in(path)


def targets_in(path: Path) -> dict[str, Target]:
    """Return the targets of one file."""
    tree = load_yaml(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected WORKLOAD: {{metric, value, direction}} for each workload")
    return {str(name): target_of(f"{path}: {name}", entry) for name, entry in tree.items()}


def target_of(where: str, entry: object) -> Target:
    """Return one entry of a file of targets. Raises ConfigError."""
    keys = {"metric", "value", "direction"}
    if not isinstance(entry, dict) or set(entry) != keys:
        raise ConfigError(f"{where}: expected the keys {', '.join(sorted(keys))}")
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where}.value: {value} is not a number")
    if entry["direction"] not in ("max", "min"):
        raise ConfigError(f"{where}.direction: unknown direction {entry['direction']!r}", "Choose from max, min")
    return Target(str(entry["metric"]), float(value), entry["direction"])


def import_logs(root: Path, targets: Mapping[str, Target]) -> ImportedLogs:
    """Import every trial below a folder. Raises NoResultsError if none can be read."""
    if not root.is_dir():
        raise NoResultsError(f"{root}: no such folder")
    rows: dict[tuple[str, str, str, str], float] = {}
    skipped: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    measured = 0
    for file in trial_files(root):
        name = str(file.relative_to(root))
        try:
            key = trial_key(file, root)
            target = targets.get(key[1])
            if target is None:
                raise MalformedLog(f"no target for {key[1]}; give one with --targets")
            if key in rows:
                raise MalformedLog("duplicate trial")
            if file.is_file():
                rows[key], torn = first_time(file, target)
                measured += 1
                notes += [(name, "the last line is incomplete and was ignored")] if torn else []
            else:
                rows[key] = math.inf
                notes.append((name, "missing file: counted as not reached"))
        except MalformedLog as malformed:
            skipped.append((name, str(malformed)))
    if not measured:
        why = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise NoResultsError(
            f"{root}: no trials found{why}", f"Expected SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/{FILE}"
        )
    return ImportedLogs(tuple((*key, rows[key]) for key in sorted(rows, key=natural_key)), tuple(skipped), tuple(notes))


def trial_files(root: Path) -> list[Path]:
    """Return every file of measurements, and its path in trial folders that lack one."""
    folders = (folder for folder in root.rglob("trial_*") if folder.is_dir())
    places = (folder / FILE for folder in folders if NUMBERED.match(folder.parent.parent.name))
    return sorted({*root.rglob(FILE), *places})


class MalformedLog(Exception):
    """A file that cannot be read as a trial's measurements, with the reason."""


def natural_key(key: tuple[str, ...]) -> list[list[tuple[int, str]]]:
    """Return a sort key that puts 10 after 9."""
    return [[(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)] for word in key]


def trial_key(file: Path, root: Path) -> tuple[str, str, str, str]:
    """Return (submission, workload, study, trial) from a path. Raises MalformedLog."""
    parts = file.relative_to(root).parts[:-1]
    if len(parts) == 3:  # the folder is a submission itself
        parts = (root.resolve().name, *parts)
    if len(parts) < 4:
        raise MalformedLog("not in SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M")
    submission, study, workload, trial = "/".join(parts[:-3]), *parts[-3:]
    numbers = NUMBERED.match(study), NUMBERED.match(trial)
    if numbers[0] is None or numbers[1] is None:
        raise MalformedLog("not in SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M")
    framework = FRAMEWORK.match(workload)
    return submission, framework[1] if framework else workload, numbers[0][2], numbers[1][2]


def first_time(file: Path, target: Target) -> tuple[float, bool]:
    """Return seconds to the first evaluation at or beyond the target, else infinity, and True if the file is
    incomplete.

    A last line without an end is ignored, as its numbers may be cut short. Raises MalformedLog."""
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        raise MalformedLog(f"cannot be read: {error}") from None
    whole = text[: text.rfind("\n") + 1]
    sign = 1.0 if target.direction == "max" else -1.0
    reached = [
        time
        for time, value in measurements(whole, f"validation/{target.metric}")
        if math.isfinite(value) and sign * value >= sign * target.value
    ]
    return min(reached, default=math.inf), whole != text


def measurements(text: str, column: str) -> Iterator[tuple[float, float]]:
    """Yield (seconds, metric) of each evaluation. Raises MalformedLog."""
    try:
        reader = csv.DictReader(io.StringIO(text))
        missing = [name for name in (TIME, column) if name not in (reader.fieldnames or ())]
        if missing:
            raise MalformedLog(f"no column {missing[0]}")
        for row in reader:
            pair = number(row[TIME]), number(row[column])
            if math.isfinite(pair[0]) and pair[0] > 0:  # no training takes no time
                yield pair
    except csv.Error as error:
        raise MalformedLog(f"cannot be read: {error}") from None


def number(cell: str | None) -> float:
    """Return a cell as a number, nan if it is not one."""
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan
