"""The first screen of a report: the claim's verdict, the answer, the standings, the main caveats, what to type."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from optbench.reports.model.caveats import caveats
from optbench.reports.model.cells import ranks_text
from optbench.reports.model.content import NextStep, Report, Workload
from optbench.reports.model.figure import Figure, Intervals, Panels
from optbench.reports.model.numbers import DASH, TIMES, counted, short
from optbench.reports.model.rows import Estimate, Resources, Row
from optbench.reports.model.table import CONTENDER, EVERYWHERE, Cell, Flagged, Table, TableColumn

SENTENCES, CAVEATS, STEPS = 2, 3, 2  # at most
TRIVIAL = "trivial answer"
UNKNOWN = "unknown"
ARROWS = {"max": "↑", "min": "↓"}  # better


@dataclass(frozen=True, slots=True)
class Overview:
    """The first screen of a report."""

    claim: str
    """The study's claim with its verdict; empty without one."""
    answer: tuple[str, ...]
    standings: Table
    figure: Figure | None
    caveats: tuple[str, ...]
    further: tuple[str, ...]
    """The other caveats."""
    steps: tuple[NextStep, ...]


def overview(report: Report) -> Overview:
    """Return the first screen of a report."""
    claim, found = report.claim, caveats(report)
    order = contenders(report.workloads)
    return Overview(
        claim=f"{claim.text}: {claim.verdict}." if claim and claim.text else claim.sentence if claim else "",
        answer=answer(report),
        standings=standings(report.workloads, order, report.level),
        figure=figure(report.workloads, order),
        caveats=tuple(found[:CAVEATS]),
        further=tuple(found[CAVEATS:]),
        steps=report.next_steps[:STEPS],
    )


def answer(report: Report) -> tuple[str, ...]:
    """Return the answer in one or two sentences: over all workloads if they do not all have room."""
    known = any(row.values for workload in report.workloads for row in workload.rows)
    if not known:
        return tuple(line for workload in report.workloads for line in workload.answer[:1])[:SENTENCES] or report.answer
    if not report.across or len(report.answer) <= SENTENCES:
        return report.answer[:SENTENCES]
    idle = [workload.name for workload in report.workloads if nobody_trained(workload)]
    if len(idle) == len(report.workloads):
        return (f"Nobody learned: no contender is shown to beat the {TRIVIAL} on any workload.",)
    first = [f"Nobody learned on {', '.join(idle)}: no contender is shown to beat the {TRIVIAL}."] if idle else []
    waiting = any(row.waiting for workload in report.workloads for row in workload.rows)
    over_all = (*first, *report.across.answer)[:SENTENCES]
    return (f"So far: {over_all[0]}", *over_all[1:]) if waiting and over_all else over_all


def nobody_trained(workload: Workload) -> bool:
    """Return True if no contender is shown to beat the trivial answer, and some were tried."""
    known = {row.trained for row in workload.rows}
    return False in known and True not in known


def contenders(workloads: Sequence[Workload]) -> list[str]:
    """Return the contenders, best first: by their mean place on the workloads."""
    places: dict[str, list[int]] = {}
    for workload in workloads:
        for place, row in enumerate(workload.rows):
            places.setdefault(row.contender, []).append(place)
    return sorted(places, key=lambda name: statistics.fmean(places[name]))


def standings(workloads: Sequence[Workload], order: Sequence[str], level: float) -> Table:
    """Return a row for each contender: on each workload its value and its rank; its speed and its state."""
    columns, cells = [CONTENDER], []
    for workload in workloads:
        rows = {row.contender: row for row in workload.rows}
        arrow = ARROWS.get(workload.direction, "")
        columns += [
            TableColumn(f"{workload.headline_name} {arrow}".strip(), "estimate", group=workload.name),
            TableColumn("rank", "ranks", group=workload.name),
        ]
        trivial = Estimate(workload.trivial)
        cells += [[*(value(workload, rows.get(name)) for name in order), trivial]]
        cells += [[*(rank(rows.get(name), len(rows)) for name in order), None]]
    against = " and ".join(dict.fromkeys(w.reference for w in workloads if w.reference))
    for title, of in (("speed", speed), ("state", state)):
        columns.append(TableColumn(title, "cost", group=f"against {against}"))
        cells.append([*(factors(workloads, name, of) for name in order), None])
    known = any(workload.trivial is not None for workload in workloads)
    names = [*order, TRIVIAL] if known else list(order)
    found = tuple((name, *(column[n] for column in cells)) for n, name in enumerate(names))
    return Table("Standings", tuple(columns), found, note(workloads, level), EVERYWHERE)


def note(workloads: Sequence[Workload], level: float) -> str:
    """Return how to read the table."""
    shared = any(one.shared_device for workload in workloads for one in workload.resources)
    said = f"Means over final seeds with their {short(100 * level)} % interval. Rank: a range, as far as the verdicts"
    said += f" allow; {UNKNOWN} where it spans all. Speed: samples a second; state: bytes of optimizer state."
    return f"{said} Runs shared a device with others, so speeds are rough." if shared else said


def value(workload: Workload, row: Row | None) -> Cell:
    """Return a contender's headline; flagged where it did not train, failed, or has runs to come."""
    if row is None:
        return None
    return Flagged(workload.headline_of(row), flag(row), calm=row.trained is not False and row.waiting > 0)


def flag(row: Row) -> str:
    """Return what a reader must know beside the value."""
    if row.trained is False:
        return "not trained"
    if row.waiting:
        return f"{counted(row.waiting, 'run')} to come"
    if row.failed:
        return f"{row.failed} of {row.failed + len(row.values)} failed"
    return "" if row.values else "no result"


def rank(row: Row | None, count: int) -> str:
    """Return a contender's rank as a range, `unknown` where it spans all contenders."""
    if row is None or not (row.values or row.failed):
        return ""
    if count > 1 and (row.rank_low, row.rank_high) == (1, count):
        return UNKNOWN
    return ranks_text(row.rank_low, row.rank_high)


def factors(workloads: Sequence[Workload], name: str, of: Callable[[Resources, Resources], float | None]) -> str:
    """Return a cost against the reference's: a range over workloads if it differs."""
    found = []
    for workload in workloads:
        own = {one.contender: one for one in workload.resources}
        if name in own and workload.reference in own:
            found.append(of(own[name], own[workload.reference]))
    known = [short(one, 2) for one in sorted(one for one in found if one is not None)]
    return f"{DASH.join(dict.fromkeys((known[0], known[-1])))}{TIMES}" if known else ""


def speed(one: Resources, reference: Resources) -> float | None:
    """Return the speed against the reference's."""
    return one.relative_speed.value


def state(one: Resources, reference: Resources) -> float | None:
    """Return the optimizer state against the reference's."""
    return one.state_bytes / reference.state_bytes if one.state_bytes is not None and reference.state_bytes else None


def figure(workloads: Sequence[Workload], order: Sequence[str]) -> Figure | None:
    """Return the intervals of all contenders: a panel for each workload, the trivial answer as a line."""
    panels = tuple(map(partial(panel, order=order), workloads))
    if all(estimate.value is None for one in panels for _, estimate, _ in one.rows):
        return None
    line = " The dotted line is the trivial answer." if any(one.line is not None for one in panels) else ""
    caption = f"Means with their intervals; thin marks are single seeds.{line}"
    return Figure("overview", "Standings", Panels(panels), caption)


def panel(workload: Workload, order: Sequence[str]) -> Intervals:
    """Return one workload's panel, its rows in the order of the table."""
    rows = {row.contender: (row.contender, workload.headline_of(row), row.values) for row in workload.rows}
    axis = f"{workload.headline_name} {ARROWS.get(workload.direction, '')}".strip()
    found = tuple(rows[name] for name in order if name in rows)
    return Intervals(axis, found, workload.trivial, workload.scale == "decades", workload.name)
