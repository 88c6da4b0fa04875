"""Read tables of times to target from CSV, wide or long.

Wide: the first column is `submission`, each other one a workload, in seconds; empty or `inf`: target not reached. Long:
columns submission, workload, study, trial, seconds; a study's time is that of its fastest trial, a workload's the
median over studies. A workload whose name extends another's by `_...` is its held-out variant. Lines above the header
that begin with # say where a table is from.
"""

from __future__ import annotations

import csv
import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optbench.errors import ConfigError, NoResultsError
from optbench.files import read_text

SUBMISSION = "submission"
LONG = (SUBMISSION, "workload", "study", "trial", "seconds")
NOT_REACHED = ("", "inf", "infinity", "+inf")


@dataclass(frozen=True)
class TimeTable:
    """Times to target in seconds; infinite: not reached."""

    studies: dict[str, dict[str, tuple[float, ...]]]
    """{submission: {workload: the time of each study}}"""
    notes: tuple[str, ...] = ()
    """Inequalities in the table, a sentence each."""
    source: tuple[str, ...] = ()
    """Lines of comment: where the times are from."""

    @property
    def times(self) -> dict[str, dict[str, float]]:
        """Medians over studies."""
        return {
            name: {workload: statistics.median(own) for workload, own in row.items()}
            for name, row in self.studies.items()
        }

    @property
    def has_studies(self) -> bool:
        """True if any workload was run in several studies."""
        return any(len(own) > 1 for row in self.studies.values() for own in row.values())

    @property
    def workloads(self) -> list[str]:
        """All workloads, in the order of the table."""
        return list(dict.fromkeys(workload for row in self.studies.values() for workload in row))


def read_table(path: Path) -> TimeTable:
    """Read a table from a file. Raises ConfigError with line and column."""
    try:
        whole = read_text(path, encoding="utf-8-sig").splitlines(keepends=True)
        above = list(itertools.takewhile(lambda line: line.startswith("#"), whole))
        rows = csv.reader(whole[len(above) :])
        lines = [(number, row) for number, row in enumerate(rows, len(above) + 1) if any(map(str.strip, row))]
    except FileNotFoundError:
        raise NoResultsError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV: {error}") from None
    if not lines:
        raise ConfigError(f"{path}: the table is empty")
    names = [name.strip() for name in lines[0][1]]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ConfigError(f"{path}, line 1: duplicate column {repeated or '(without a name)'}")
    if len(lines) == 1:
        raise ConfigError(f"{path}: the table has no rows")
    for number, row in lines[1:]:
        if len(row) != len(names):
            raise ConfigError(f"{path}, line {number}: {len(row)} cells, but the header has {len(names)}")
    source = tuple(line.lstrip("# ").rstrip() for line in above)
    if set(LONG) <= set(names):
        return replace(parse_long(path, names, lines[1:]), source=source)
    if names[0] != SUBMISSION:
        raise ConfigError(
            f"{path}, line 1: the first column is {names[0]!r}, expected {SUBMISSION!r}",
            f"Or a long table with the columns {', '.join(LONG)}",
        )
    return replace(parse_wide(path, names, lines[1:]), source=source)


def parse_wide(path: Path, names: Sequence[str], lines: Iterable[tuple[int, Sequence[str]]]) -> TimeTable:
    """Parse one line per submission."""
    if len(names) < 2:
        raise ConfigError(f"{path}, line 1: no workload columns")
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for number, row in lines:
        name = name_in(row[0], path, number, SUBMISSION)
        if name in found:
            raise ConfigError(f"{path}, line {number}: duplicate submission {name}")
        found[name] = {w: (seconds_in(cell, path, number, w),) for w, cell in zip(names[1:], row[1:], strict=True)}
    return TimeTable(found)


def parse_long(path: Path, names: Sequence[str], lines: Iterable[tuple[int, Sequence[str]]]) -> TimeTable:
    """Parse one line per trial."""
    trials: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for number, row in lines:
        cells = dict(zip(names, row, strict=True))
        submission, workload, study, trial = (name_in(cells[key], path, number, key) for key in LONG[:4])
        own = trials.setdefault(submission, {}).setdefault(workload, {}).setdefault(study, {})
        if trial in own:
            raise ConfigError(f"{path}, line {number}: duplicate trial {trial} of study {study}")
        own[trial] = seconds_in(cells["seconds"], path, number, "seconds")
    workloads = list(dict.fromkeys(workload for row in trials.values() for workload in row))
    found = {
        name: {w: tuple(min(own.values()) for own in row.get(w, {}).values()) or (math.inf,) for w in workloads}
        for name, row in trials.items()
    }
    return TimeTable(found, tuple(imbalance_notes(trials, workloads)))


def imbalance_notes(
    trials: dict[str, dict[str, dict[str, dict[str, float]]]], workloads: Sequence[str]
) -> Iterable[str]:
    """Yield sentences on missing workloads and unequal numbers of studies and trials."""
    for name, row in trials.items():
        lacks = [w for w in workloads if w not in row]
        if lacks:
            yield f"{name} has no trial of {', '.join(lacks)}: not reached"
    counts = sorted({len(studies) for row in trials.values() for studies in row.values()})
    if len(counts) > 1:
        yield f"there are {counts[0]} to {counts[-1]} studies: a median over more of them is more precise"
    counts = sorted({len(own) for row in trials.values() for studies in row.values() for own in studies.values()})
    if len(counts) > 1:
        yield f"studies have {counts[0]} to {counts[-1]} trials: the fastest of more trials is faster by chance"


def name_in(cell: str, path: Path, number: int, column: str) -> str:
    """Return a name. Raises ConfigError if it is empty."""
    name = cell.strip()
    if not name:
        raise ConfigError(f"{path}, line {number}: the column {column} is empty")
    return name


def seconds_in(cell: str, path: Path, number: int, column: str) -> float:
    """Return a time. Raises ConfigError for anything else."""
    text = cell.strip()
    if text.lower() in NOT_REACHED:
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise ConfigError(
            f"{path}, line {number}, {column}: {text!r} is not a time in seconds",
            "Leave it empty, or write inf, if the target was not reached",
        )
    return value


def variants(workloads: Sequence[str]) -> dict[str, list[str]]:
    """Return the held-out variants of each workload: names that extend its own by `_...`.

    A variant of a variant belongs to the base workload."""
    found: dict[str, list[str]] = {}
    for name in sorted(workloads, key=len):
        extended = [base for base in workloads if name.startswith(f"{base}_")]
        if extended:
            found.setdefault(min(extended, key=len), []).append(name)
    return found
