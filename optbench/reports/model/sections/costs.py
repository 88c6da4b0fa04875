"""The cost of an optimizer: memory, time, failures, and the trade-offs between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optbench.reports.model.content import Workload
from optbench.reports.model.document import Section, present
from optbench.reports.model.figure import Bars, Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import records
from optbench.reports.model.rows import Resources
from optbench.reports.model.table import CONTENDER, HTML, Table, TableColumn, Whisker, table

UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
CAPTION = "Filled: no other contender is at least as good in all three and better in one. The larger, the more state."


def resources(workload: Workload) -> Section:
    """Return memory, throughput, and where the time goes."""
    found = workload.resources
    parts = present(machine(workload), time(found), memory(found), phases(found))
    return Section("resources", "Memory and time", parts, (records("resources", found),))


def machine(workload: Workload) -> Table:
    """Return memory and speed."""
    return table(
        "Memory and speed of the final runs",
        workload.resources,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("optimizer state", "bytes"), lambda one: one.state_bytes),
        (TableColumn("state / parameters", "number", digits=3), lambda one: one.state_per_parameter),
        (TableColumn("parameters", "bytes", HTML), lambda one: one.parameter_bytes),
        (TableColumn("peak memory", "bytes"), lambda one: one.peak_bytes),
        (TableColumn("step (ms)", "estimate"), lambda one: one.step_ms),
        (TableColumn("samples/s", "estimate"), lambda one: one.samples_per_second),
        (TableColumn("relative speed", "estimate"), lambda one: one.relative_speed),
        (TableColumn("device"), lambda one: "shared" if one.shared_device else ""),
        note=f"Relative speed: samples a second over those of {workload.reference}." if workload.reference else "",
    )


def time(found: Sequence[Resources]) -> Figure | None:
    """Return the seconds of a run by phase."""
    timed = [one for one in found if one.seconds]
    names = dict.fromkeys(phase for one in timed for phase, value in one.seconds.items() if value > 0)
    parts = tuple((phase, tuple(one.seconds.get(phase, 0.0) for one in timed)) for phase in names)
    if not parts:
        return None
    bars = Bars(tuple(one.contender for one in timed), parts, "mean seconds of a run")
    return Figure("time", "Time by phase", bars, "Mean seconds of a final run by phase.")


def memory(found: Sequence[Resources]) -> Figure | None:
    """Return the size of the optimizer state beside that of the parameters."""
    known = [(one.contender, one.state_bytes) for one in found if one.state_bytes is not None]
    if not known:
        return None
    sizes = {one.parameter_bytes for one in found if one.parameter_bytes}
    parameters = sizes.pop() if len(sizes) == 1 else None
    largest = max([parameters or 0, *(size for _, size in known)])
    unit, name = next((unit, name) for unit, name in UNITS if largest >= unit or unit == 1)
    part = ("optimizer state", tuple(size / unit for _, size in known))
    line = parameters / unit if parameters else None
    axis = f"optimizer state, {name}{' (dotted: the parameters)' if line else ''}"
    return Figure("memory", "Optimizer state", Bars(tuple(who for who, _ in known), (part,), axis, line))


def phases(found: Sequence[Resources]) -> Table:
    """Return the seconds by phase in numbers."""
    names = dict.fromkeys(phase for one in found for phase in one.seconds)
    return table(
        "Seconds by phase",
        [one for one in found if one.seconds],
        (CONTENDER, lambda one: one.contender),
        *((TableColumn(name, "number", digits=3), lambda one, name=name: one.seconds.get(name)) for name in names),
        (TableColumn("all", "number", digits=3), lambda one: sum(one.seconds.values())),
        outputs=HTML,
        folded=True,
    )


def trade_offs(workload: Workload) -> Section:
    """Return quality, time and memory at once."""
    points = table(
        "Quality, time and memory",
        workload.pareto,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("Pareto-optimal"), lambda one: "yes" if one.front else "no"),
        (TableColumn(workload.headline_name, "number"), lambda one: one.quality),
        (TableColumn("training seconds", "number"), lambda one: one.train_seconds),
        (TableColumn("optimizer state", "bytes"), lambda one: one.state_bytes),
    )
    return Section("pareto", "Trade-offs", present(front(workload), points), (records("pareto", workload.pareto),))


def front(workload: Workload) -> Figure | None:
    """Return quality against time; marks grow with the optimizer state."""
    largest = max((one.state_bytes or 0.0 for one in workload.pareto), default=0.0)
    series = tuple(
        FigureSeries(
            one.contender,
            [one.train_seconds],
            [one.quality],
            line="none",
            mark="filled" if one.front else "open",
            area=(one.state_bytes or 0.0) / largest if largest and math.isfinite(largest) else None,
        )
        for one in workload.pareto
        if one.quality is not None and one.train_seconds is not None
    )
    if not series:
        return None
    lines = Lines(series, FigureAxis("training seconds of a run"), FigureAxis(workload.headline_name))
    return Figure("trade-offs", "Trade-offs", lines, CAPTION)


def stability(workload: Workload) -> Section:
    """Return failures while tuning and loss spikes of the final runs."""
    failures = table(
        "Tuning runs that failed; loss spikes of the final runs",
        workload.stability,
        (CONTENDER, lambda one: one.contender),
        (TableColumn("failed"), lambda one: f"{one.failed} of {one.runs}"),
        (TableColumn("share failed", "estimate"), lambda one: one.share),
        (TableColumn("interval", "whisker", HTML), lambda one: Whisker(one.share)),
        (TableColumn("loss spikes in 1,000 records", "estimate"), lambda one: one.spikes),
    )
    return Section("stability", "Stability", present(failures), (records("stability", workload.stability),))
