"""Choose which of several copies of a run to keep, and find finished copies that differ.

A run is reproducible only on equal hardware, threads and versions, so a difference may be legitimate; nothing here
shows which copy is right."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.errors import StorageError
from optbench.merging.scan import TreeRun
from optbench.records import COLUMNS
from optbench.reports.comparable import version_of
from optbench.store import read_json, read_records

UNITS = ("s", "ms", "samples/s", "tokens/s", "B")
TIMES_AND_MEMORY = frozenset(name for name, column in COLUMNS.items() if column.unit in UNITS)
RESULT_KEYS = ("status", "metric", "direction", "steps", "samples", "gradient_evaluations", "final", "weights_sha256")
FILES = ("result.json", "metrics.jsonl")


@dataclass(frozen=True)
class Conflict:
    """Two finished runs of one configuration with different results."""

    kept: TreeRun
    other: TreeRun
    difference: str

    def words(self) -> str:
        """Return both runs, their difference and what made them."""
        return (
            f"{self.kept.name}: {self.kept.tree} and {self.other.tree} differ: {self.difference}; keeping that of "
            f"{self.kept.tree} ({made_on(self.kept)}), the other was made on {made_on(self.other)}"
        )


def made_on(run: TreeRun) -> str:
    """Return the hardware and the code that made a run."""
    if run.row is None:
        return "unknown hardware"
    return f"{run.row['hardware'] or 'unknown hardware'}, {version_of(run.row)}"


def choose(copies: Sequence[TreeRun]) -> tuple[TreeRun, list[Conflict]]:
    """Return the most complete copy of a run, the first of equals, and the finished copies that contradict it."""
    ranks = [run.rank for run in copies]
    kept = copies[ranks.index(max(ranks))]
    others = [run for run in copies if run is not kept and run.finished] if kept.finished else []
    found = [(other, difference(kept.folder, other.folder)) for other in others]
    return kept, [Conflict(kept, other, words) for other, words in found if words]


def difference(a: Path, b: Path) -> str:
    """Return the first difference of two finished runs beyond times and memory, empty if there is none."""
    if all(equal(a / name, b / name) for name in FILES):
        return ""
    return in_result(read_json(a / FILES[0]) or {}, read_json(b / FILES[0]) or {}) or in_records(a, b)


def equal(a: Path, b: Path) -> bool:
    """Return True if two files have the same content, or neither exists."""
    if not a.is_file() or not b.is_file():
        return a.exists() == b.exists() and not a.exists()
    return filecmp.cmp(a, b, shallow=False)


def in_result(a: Mapping[str, object], b: Mapping[str, object]) -> str:
    """Return the first difference of two results."""
    for key in RESULT_KEYS:
        one, two = a.get(key), b.get(key)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            one, two = first_unequal(one, two) or (None, None)
        if one != two:
            return f"{key} {one} and {two}"
    return ""


def in_records(a: Path, b: Path) -> str:
    """Return the first difference of two runs' records."""
    rows = []
    for folder in (a, b):
        try:
            rows.append([dict(row) for row in read_records(folder / FILES[1])])
        except (OSError, TypeError, ValueError, StorageError):
            return f"the records of {folder} cannot be read"
    for one, two in zip(*rows, strict=False):
        unequal = first_unequal(one, two)
        if unequal:
            return f"at step {one.get('step')}: {unequal[0]} and {unequal[1]}"
    return "" if len(rows[0]) == len(rows[1]) else f"{len(rows[0])} and {len(rows[1])} records"


def first_unequal(a: Mapping[str, object], b: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the first key beyond times and memory whose values differ, as `key=value` of both."""
    for key in (*a, *(key for key in b if key not in a)):
        if key not in TIMES_AND_MEMORY and a.get(key) != b.get(key):
            return f"{key}={a.get(key)}", f"{key}={b.get(key)}"
    return None
