"""Leaderboard: ranks with intervals, who is not significantly different from whom, and what tuning chose."""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import partial

from optbench.config.trees import short_key
from optbench.reports.model.content import Pair, Row, Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.figure import Figure, Intervals
from optbench.reports.model.flat import records
from optbench.reports.model.numbers import short
from optbench.reports.model.overview import rank
from optbench.reports.model.table import (
    CONTENDER,
    EVERYWHERE,
    HTML,
    TERMINAL,
    Flagged,
    Table,
    TableColumn,
    Whisker,
    capital,
    table,
)

TRAINED = {True: "yes", False: "not shown", None: ""}
AIMS = {"max": "higher is better", "min": "lower is better"}
READING = (
    "A rank such as 1\u20133 is a range: one more than the contenders shown to be better, to one more than those not "
    "shown to be worse. Contenders that share a letter are not significantly different. "
)


def leaderboard(workload: Workload, level: float) -> Section:
    """Return the standings, how test compares with training and validation, and the tuned hyperparameters."""
    parts = present(drawn(workload), standings(workload, level), splits(workload), tuned(workload))
    return Section("leaderboard", "Leaderboard", parts, (records("leaderboard", workload.rows),))


def drawn(workload: Workload) -> Figure | None:
    """Return the means with their intervals as a figure."""
    rows = tuple((row.contender, workload.headline_of(row), row.values) for row in workload.rows)
    if all(estimate.value is None for _, estimate, _ in rows):
        return None
    axis = f"{workload.headline_name} ({AIMS.get(workload.direction, workload.direction)})"
    data = Intervals(axis, rows, workload.trivial, workload.scale == "decades")
    caption = "The dotted line is the trivial answer." if workload.trivial is not None else ""
    return Figure("leaderboard", "Leaderboard", data, caption)


def standings(workload: Workload, level: float) -> Table:
    """Return one row for each contender, best first."""
    letters = letter_groups(workload.rows, workload.pairs)
    curves = {band.contender: tuple(band.value) for band in workload.bands if band.column == "val_metric"}
    return table(
        f"{capital(workload.headline_name)} at the end of the schedule",
        workload.rows,
        (CONTENDER, lambda row: row.contender),
        (TableColumn("rank", "ranks"), lambda row: rank(row, len(workload.rows))),
        (TableColumn("group"), lambda row: letters.get(row.contender, "")),
        (TableColumn(workload.headline_name, "estimate"), workload.headline_of),
        (TableColumn("interval", "whisker", HTML), partial(whisker, workload)),
        (TableColumn("trivial answer", "number"), lambda row: workload.trivial),
        (TableColumn("trained"), lambda row: TRAINED[row.trained]),
        (TableColumn("seeds", "count"), lambda row: len(row.values)),
        (TableColumn("failed", "count"), lambda row: row.failed),
        (TableColumn("trials", "count"), lambda row: row.trials or None),
        (TableColumn("tuned values", outputs=TERMINAL), tuned_values),
        (TableColumn("validation", "curve", TERMINAL), lambda row: curves.get(row.contender, ())),
        note=f"Mean over seeds with its {short(100 * level)} % interval; thin marks are single seeds. {READING}",
        outputs=EVERYWHERE,
    )


def whisker(workload: Workload, row: Row) -> Whisker:
    """Return a contender's interval with its seeds; target and trivial answer are marked where they are near."""
    marks = (workload.target if workload.headline.startswith("val") else None, workload.trivial)
    return Whisker(workload.headline_of(row), row.values, tuple(mark for mark in marks if mark is not None))


def tuned_values(row: Row) -> str:
    """Return the tuned hyperparameters in a line, without the groups of their keys."""
    values = ((short_key(key), short(v) if isinstance(v, float) else v) for key, v in row.tuned.items())
    return ", ".join(f"{key}={value}" for key, value in values)


def splits(workload: Workload) -> Table:
    """Return the metric on each split of the data."""
    return table(
        f"{capital(workload.metric)} by split",
        workload.rows,
        (CONTENDER, lambda row: row.contender),
        (TableColumn("training", "estimate"), lambda row: row.train),
        (TableColumn("validation", "estimate"), lambda row: row.val),
        (TableColumn("best validation", "estimate"), lambda row: row.best_val),
        (TableColumn("test", "estimate"), lambda row: row.test),
        (TableColumn("gap to training", "estimate"), lambda row: row.gap),
        (TableColumn("SD over seeds", "number", digits=2), lambda row: row.sd),
        (TableColumn("implementation"), lambda row: row.implementation),
        note="Gap: how much worse test is than training. Best validation is a stopping rule in hindsight.",
    )


def tuned(workload: Workload) -> Table | None:
    """Return the winning trial of each contender: a column for each hyperparameter, edges of the box flagged."""
    rows = workload.rows
    keys = list(dict.fromkeys(key for row in rows for key in (*row.tuned, *dict(row.edges))))
    if not keys and not any(row.trials for row in rows):
        return None
    return table(
        "Tuned hyperparameters",
        rows,
        (CONTENDER, lambda row: row.contender),
        (TableColumn("validation of the winner", "number"), lambda row: row.tune_val),
        *((TableColumn(key, "value"), partial(chosen, key=key)) for key in keys),
        *(((TableColumn("search box"), lambda row: row.box),) if any(row.box for row in rows) else ()),
        note="The winner's validation is optimistic, as it was chosen for it. An edge: tuning chose the end of the "
        "search range, so the contender is undertuned.",
    )


def chosen(row: Row, key: str) -> Flagged:
    """Return the tuned value of a hyperparameter, flagged on the edge of the search range."""
    edge = dict(row.edges).get(key)
    value = row.tuned.get(key)
    shown = value if isinstance(value, (str, float, int)) or value is None else str(value)
    return Flagged(shown, f"{edge} edge" if edge else "")


def letter_groups(rows: Sequence[Row], pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the compact letter display: contenders that share a letter are not shown to differ."""
    names = [row.contender for row in rows]
    found: dict[str, str] = {}
    if not pairs:
        return found
    for n, (first, last) in enumerate(stretches(names, pairs)):
        for name in names[first : last + 1]:
            found[name] = found.get(name, "") + string.ascii_letters[n % len(string.ascii_letters)]
    return found


def stretches(names: Sequence[str], pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """Return the stretches of the leaderboard, (first, last), in which no contender is shown to be better than another:
    each as long as can be, none within another."""
    alike = {(a, b) for pair in pairs if pair.verdict not in ("better", "worse") for a, b in both_ways(pair)}
    found: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and all((names[i], names[last + 1]) in alike for i in range(first, last + 1)):
            last += 1
        if not found or last > found[-1][1]:
            found.append((first, last))
    return found


def both_ways(pair: Pair) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return a pair's names in both orders."""
    return (pair.a, pair.b), (pair.b, pair.a)
