"""Of one run in several trees, the one that is kept, and where two that have ended differ.

A run is fixed by its configuration and seed on equal hardware, threads and versions only, so a difference may be
honest; which of the two is right nobody can tell from here."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.merging.scan import Held
from optbench.records import COLUMNS
from optbench.reports.comparable import version_of
from optbench.store import read_json, read_records

UNITS = ("s", "ms", "samples/s", "tokens/s", "B")
TIMES_AND_MEMORY = frozenset(name for name, column in COLUMNS.items() if column.unit in UNITS)
OF_A_RESULT = ("status", "metric", "direction", "steps", "samples", "gradient_evaluations", "final", "weights_sha256")
FILES = ("result.json", "metrics.jsonl")


@dataclass(frozen=True)
class Conflict:
    """Two ended runs of one configuration that came to something else."""

    kept: Held
    other: Held
    difference: str

    def words(self) -> str:
        """Both, with what may be the reason."""
        return (
            f"{self.kept.name}: {self.kept.tree} and {self.other.tree} differ: {self.difference}; kept is that of "
            f"{self.kept.tree} ({made_on(self.kept)}), the other was made on {made_on(self.other)}"
        )


def made_on(held: Held) -> str:
    """The hardware and the code that made a run."""
    row = held.row or {}
    return f"{row.get('hardware') or 'unknown hardware'}, {version_of(row)}" if row else "unknown hardware"


def chosen(same: Sequence[Held]) -> tuple[Held, list[Conflict]]:
    """Of one run in several trees the one that most is known of, the first of equals; and who contradicts it."""
    ranks = [held.rank for held in same]
    kept = same[ranks.index(max(ranks))]
    others = [held for held in same if held is not kept and held.has_ended] if kept.has_ended else []
    found = [(other, difference(kept.folder, other.folder)) for other in others]
    return kept, [Conflict(kept, other, words) for other, words in found if words]


def difference(a: Path, b: Path) -> str:
    """The first thing in which two ended runs differ beyond times and memory; "" where they are the same."""
    if all(equal(a / name, b / name) for name in FILES):
        return ""
    return in_result(read_json(a / FILES[0]) or {}, read_json(b / FILES[0]) or {}) or in_records(a, b)


def equal(a: Path, b: Path) -> bool:
    """Whether two files have the same content, or neither is there."""
    if not a.exists() or not b.exists():
        return a.exists() == b.exists()
    return filecmp.cmp(a, b, shallow=False)


def in_result(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The first difference of two results."""
    for key in OF_A_RESULT:
        one, two = a.get(key), b.get(key)
        if isinstance(one, Mapping) and isinstance(two, Mapping):
            one, two = first_unequal(one, two) or (None, None)
        if one != two:
            return f"{key} {one} and {two}"
    return ""


def in_records(a: Path, b: Path) -> str:
    """The first difference of two runs' records."""
    rows = []
    for folder in (a, b):
        try:
            rows.append([dict(row) for row in read_records(folder / FILES[1])])
        except (OSError, TypeError, ValueError):
            return f"the records of {folder} cannot be read"
    for one, two in zip(*rows, strict=False):
        unequal = first_unequal(one, two)
        if unequal:
            return f"at step {one.get('step')}: {unequal[0]} and {unequal[1]}"
    return "" if len(rows[0]) == len(rows[1]) else f"{len(rows[0])} and {len(rows[1])} records"


def first_unequal(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first key, of neither times nor memory, whose values differ, as `key=value` of both."""
    for key in (*a, *(key for key in b if key not in a)):
        if key not in TIMES_AND_MEMORY and a.get(key) != b.get(key):
            return f"{key}={a.get(key)}", f"{key}={b.get(key)}"
    return None
