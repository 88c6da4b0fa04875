"""Time to target, and the results at each budget."""

from __future__ import annotations

from optbench.reports.model.content import Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import records
from optbench.reports.model.numbers import MISSING, TIMES, short
from optbench.reports.model.rows import LadderStep, ToTarget
from optbench.reports.model.table import CONTENDER, Table, TableColumn, capital, table

NOTE = (
    "Complete schedule: the smallest budget on the ladder whose complete schedules reach the target. First passing: "
    "the first evaluation at or beyond the target inside a run of the full budget, which depends on the schedule. "
    f"Medians over seeds; {MISSING}: too few seeds reached it."
)


def to_target(workload: Workload) -> Section:
    """Return steps, samples, seconds and FLOPs to the target."""
    costs = table(
        "Cost to reach the target",
        workload.to_target,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("rule"), rule),
        (TableColumn("reached"), lambda one: f"{one.reached} of {one.of}"),
        (TableColumn("steps", "estimate"), lambda one: one.steps),
        (TableColumn("samples", "estimate"), lambda one: one.samples),
        (TableColumn("training seconds", "estimate"), lambda one: one.train_seconds),
        (TableColumn("wall seconds", "estimate"), lambda one: one.wall_seconds),
        (TableColumn("FLOPs", "estimate"), lambda one: one.flops),
        note=NOTE,
    )
    return Section("target", "Time to target", present(costs), (records("to_target", workload.to_target),))


def rule(one: ToTarget) -> str:
    """Return what counts as reaching the target."""
    budget = f" {TIMES} {short(one.budget)}" if one.budget is not None else ""
    return f"complete schedule{budget}" if one.kind == "complete" else "first passing"


def ladder(workload: Workload) -> Section:
    """Return the headline at the end of complete schedules of several lengths."""
    parts = present(ladder_figure(workload), ladder_table(workload))
    return Section("ladder", "Budget ladder", parts, (records("ladder", workload.ladder),))


def ladder_figure(workload: Workload) -> Figure | None:
    """Return the headline against the steps."""
    if not workload.ladder:
        return None
    names = dict.fromkeys(step.contender for step in workload.ladder)
    series = tuple(line(workload, [step for step in workload.ladder if step.contender == name]) for name in names)
    ticks = tuple(sorted({step.steps for step in workload.ladder if step.steps > 0}))
    x = FigureAxis("steps of the complete schedule", log=True, ticks=ticks)
    caption = "The end of complete schedules of several lengths."
    return Figure("ladder", "Budget ladder", Lines(series, x, FigureAxis(workload.headline_name)), caption)


def line(workload: Workload, steps: list[LadderStep]) -> FigureSeries:
    """Return a contender's series, in order of the budget."""
    steps = sorted(steps, key=lambda step: step.budget)
    found = [workload.headline_of(step) for step in steps]
    low, high = [one.low for one in found], [one.high for one in found]
    x, y = [step.steps for step in steps], [one.value for one in found]
    return FigureSeries(steps[0].contender, x, y, low, high, bars=True, mark="dot")


def ladder_table(workload: Workload) -> Table:
    """Return the headline: a row for each contender, a column for each budget."""
    budgets = sorted({(step.budget, step.steps) for step in workload.ladder})
    found = {(step.contender, step.budget): workload.headline_of(step) for step in workload.ladder}
    heads = (TableColumn(f"{steps:,} steps ({TIMES} {short(share)})", "estimate") for share, steps in budgets)
    names = dict.fromkeys(step.contender for step in workload.ladder)
    rows = tuple((name, *(found.get((name, share)) for share, _ in budgets)) for name in names)
    title = f"{capital(workload.headline_name)} by budget"
    return Table(title, (CONTENDER, *heads), rows)
