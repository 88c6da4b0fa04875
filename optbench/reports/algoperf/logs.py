"""AlgoPerf's log folders as a table of times to target.

SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/eval_measurements.csv holds a line for each evaluation, with
`accumulated_submission_time` in seconds and metrics as `validation/NAME`. A trial's time is that of its first one
at or beyond the target, by time. Evaluations that are not numbers reach nothing; they are never zero. A trial that has
left no evaluation has not reached its target: failures are censored, not dropped.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, NoResultsError

FILE = "eval_measurements.csv"
TIME = "accumulated_submission_time"
FRAMEWORK = re.compile(r"^(.+)_(jax|pytorch)$")
NUMBERED = re.compile(r"^(study|trial)_(\w+)$")
TARGETS = Path(__file__).with_name("targets.yaml")


@dataclass(frozen=True)
class Target:
    """What counts as trained on a workload."""

    metric: str
    value: float
    direction: str
    """max or min"""


@dataclass(frozen=True)
class Imported:
    """A long table and what was left out of it."""

    rows: tuple[tuple[str, str, str, str, float], ...]
    """(submission, workload, study, trial, seconds), infinite where the target was not reached"""
    skipped: tuple[tuple[str, str], ...]
    """(path, why)"""
    notes: tuple[tuple[str, str], ...] = ()
    """(path, what is odd about it) of trials that are in the table"""


def read_targets(path: Path | None) -> dict[str, Target]:
    """Targets by workload: {WORKLOAD: {metric, value, direction}}; those of a file come before those that are known.
    Raises ConfigError."""
    known = targets_in(TARGETS)
    return known if path is None else known | targets_in(path)


def targets_in(path: Path) -> dict[str, Target]:
    """The targets of one file."""
    import yaml

    try:
        tree: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected WORKLOAD: {{metric, value, direction}} for each workload")
    return {str(name): target_of(f"{path}: {name}", entry) for name, entry in tree.items()}


def target_of(where: str, entry: Any) -> Target:
    """One entry of a file of targets."""
    keys = {"metric", "value", "direction"}
    if not isinstance(entry, dict) or set(entry) != keys:
        raise ConfigError(f"{where}: expected the keys {', '.join(sorted(keys))}")
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where}.value: {value} is no number")
    if entry["direction"] not in ("max", "min"):
        raise ConfigError(f"{where}.direction: {entry['direction']}", "Known: max, min")
    return Target(str(entry["metric"]), float(value), entry["direction"])


def import_logs(root: Path, targets: Mapping[str, Target]) -> Imported:
    """Every trial below a folder. Raises NoResultsError where there is none that can be read."""
    if not root.is_dir():
        raise NoResultsError(f"{root}: there is no such folder")
    rows: dict[tuple[str, str, str, str], float] = {}
    skipped: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    measured = 0
    for file in trials_in(root):
        name = str(file.relative_to(root))
        try:
            key = place_of(file, root)
            target = targets.get(key[1])
            if target is None:
                raise Strange(f"no target of {key[1]} is known: give one with --targets")
            if key in rows:
                raise Strange("the same trial is there twice")
            if file.is_file():
                rows[key], torn = first_time(file, target)
                measured += 1
                notes += [(name, "the last line is torn and was not read")] if torn else []
            else:
                rows[key] = math.inf
                notes.append((name, "there is no such file: not reached"))
        except Strange as strange:
            skipped.append((name, str(strange)))
    if not measured:
        why = f": {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise NoResultsError(
            f"{root}: no trial was found{why}", f"Expected SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/{FILE}"
        )
    return Imported(tuple((*key, rows[key]) for key in sorted(rows, key=natural)), tuple(skipped), tuple(notes))


def trials_in(root: Path) -> list[Path]:
    """Every file of measurements, and where one is missing in a trial's folder."""
    folders = (folder for folder in root.rglob("trial_*") if folder.is_dir())
    places = (folder / FILE for folder in folders if NUMBERED.match(folder.parent.parent.name))
    return sorted({*root.rglob(FILE), *places})


class Strange(Exception):
    """A file that cannot be read as a trial's measurements; the reason."""


def natural(key: tuple[str, ...]) -> list[Any]:
    """An order in which 10 comes after 9."""
    return [[(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)] for word in key]


def place_of(file: Path, root: Path) -> tuple[str, str, str, str]:
    """(submission, workload, study, trial) from a path. Raises Strange."""
    parts = file.relative_to(root).parts[:-1]
    if len(parts) == 3:  # the folder is a submission itself
        parts = (root.resolve().name, *parts)
    if len(parts) < 4:
        raise Strange("not in SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M")
    submission, study, workload, trial = "/".join(parts[:-3]), *parts[-3:]
    numbers = [NUMBERED.match(study), NUMBERED.match(trial)]
    if not all(numbers):
        raise Strange("not in SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M")
    framework = FRAMEWORK.match(workload)
    return submission, framework[1] if framework else workload, *(match[2] for match in numbers if match)


def first_time(file: Path, target: Target) -> tuple[float, bool]:
    """Seconds to the first evaluation at or beyond the target, infinite where there is none, and whether the file is
    torn: a last line that does not end is left out, as its numbers may be cut short. Raises Strange."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Strange(f"cannot be read: {error}") from None
    whole = text[: text.rfind("\n") + 1]
    sign = 1.0 if target.direction == "max" else -1.0
    passed = [
        time
        for time, value in measurements(whole, f"validation/{target.metric}")
        if math.isfinite(value) and sign * value >= sign * target.value
    ]
    return min(passed, default=math.inf), whole != text


def measurements(text: str, column: str) -> Iterator[tuple[float, float]]:
    """(seconds, metric) of each evaluation. Raises Strange."""
    try:
        reader = csv.DictReader(io.StringIO(text))
        missing = [name for name in (TIME, column) if name not in (reader.fieldnames or ())]
        if missing:
            raise Strange(f"there is no column {missing[0]}")
        for row in reader:
            pair = number(row[TIME]), number(row[column])
            if math.isfinite(pair[0]) and pair[0] > 0:  # nothing is trained in no time
                yield pair
    except csv.Error as error:
        raise Strange(f"cannot be read: {error}") from None


def number(cell: str | None) -> float:
    """A cell as a number, nan where it is none."""
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return math.nan


def to_table(imported: Imported) -> str:
    """The long table as CSV text."""
    from optbench.reports.render.csv import to_csv

    names = ("submission", "workload", "study", "trial", "seconds")
    return to_csv([dict(zip(names, row, strict=True)) for row in imported.rows])
