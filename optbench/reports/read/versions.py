"""Names that tell apart what differs: two versions of a program, two implementations, two contents of a data set.

A contender is an algorithm, its implementation, its source and every setting but the seed. Names are extended only
where one name would stand for several of them in what is reported: `Mine @ 3f2a` and `Mine @ 91cc`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from optbench.errors import NoResultsError, suggest
from optbench.reports.read.columns import Name, RunRow

MARK = " @ "
DIGITS = 4  # of a hash, more where they are the same


def name_scripts(rows: Sequence[RunRow]) -> None:
    """Put the folder of a training script before the names of its workloads: most are called train.py.

    One and the same script in several folders has the first of these names."""
    found: dict[str | None, str] = {}
    for row in rows:
        if row["script"]:
            folder, content = Path(row["script"]).parent.name, row["content_sha256"]
            found[content] = min(folder, found.get(content, folder))
    for row in rows:
        if row["script"] and found[row["content_sha256"]]:
            row["workload"] = f"{found[row['content_sha256']]}/{row['workload']}"


def name_versions(rows: Sequence[RunRow]) -> None:
    """Extend the names of workloads and contenders that stand for more than one thing."""
    mark(rows, "workload", lambda row: row["content_sha256"], MARK + "{}")
    mark(rows, "contender", lambda row: row["implementation"], " ({})")
    mark(rows, "contender", lambda row: row["source_sha256"], MARK + "{}")
    studies: dict[tuple[str, str], set[str | None]] = {}
    for row in rows:
        studies.setdefault((row["contender"], row["workload"]), set()).add(origin(row))
    several = {contender for (contender, _), found in studies.items() if len(found) > 1}
    mark([row for row in rows if row["contender"] in several], "contender", origin, " in {}")


def mark(rows: Iterable[RunRow], column: Name, value_of: Callable[[RunRow], str | None], form: str) -> None:
    """Add a value to the names of those rows that have different ones under one name; of hashes, the first digits."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    for group in groups.values():
        values = {value_of(row) for row in group}
        if len(values) > 1:
            short = shortened([value for value in values if value])
            for row in group:
                value = value_of(row)
                row[column] += form.format(short[value]) if value else ""


def shortened(values: Sequence[str]) -> dict[str, str]:
    """Return the fewest first digits that tell hashes apart; anything else as it is."""
    if not all(re.fullmatch(r"[0-9a-f]{64}", value) for value in values):
        return {value: value for value in values}
    count = next((n for n in range(DIGITS, 64) if len({value[:n] for value in values}) == len(values)), 64)
    return {value: value[:count] for value in values}


def origin(row: RunRow) -> str | None:
    """Return where a contender was tuned: its study; of plain runs None, as their settings tell them apart."""
    return row["study"] if row["cell"] is not None else None


def plain_name(name: str) -> str:
    """Return a contender's name without its version."""
    return re.sub(rf"{MARK}[0-9a-f]{{{DIGITS},64}}(?= in |$)", "", name)


def contender_named(typed: str, known: Iterable[str]) -> str:
    """Return the contender that a typed name means: its whole name, or the start or the plain name of one alone.

    Raises NoResultsError for a name of none or of several."""
    names = sorted(set(known))
    for fits in (str.__eq__, lambda name, typed: plain_name(name) == typed, str.startswith):
        found = [name for name in names if fits(name, typed)]
        if len(found) == 1:
            return found[0]
        if found:
            raise NoResultsError(f"{typed}: {len(found)} contenders have this name", f"Say one of: {'; '.join(found)}")
    raise NoResultsError(f"{typed}: no runs", suggest(typed, names))
