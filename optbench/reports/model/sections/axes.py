"""Along a numeric axis of a study: the headline at each value, and the least value's learning rate at the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optbench.reports.model.axes import Axis, AxisPoint, RateTransfer
from optbench.reports.model.document import Chapter, Records, Section, present
from optbench.reports.model.figure import Figure, FigureAxis, FigureSeries, Lines
from optbench.reports.model.flat import flat, spread
from optbench.reports.model.numbers import estimate_text, short
from optbench.reports.model.sections.axis_equivalents import equivalents
from optbench.reports.model.sections.axis_parts import head, x_axis
from optbench.reports.model.sections.axis_rates import rates
from optbench.reports.model.sections.leaderboard import AIMS
from optbench.reports.model.table import CONTENDER, EVERYWHERE, Cell, Flagged, Table, TableColumn, capital, table

BATCH = "batch_size"


def chapter(of: Axis, number: int, alone: bool) -> Chapter:
    """Return the chapter of one axis. `alone`: no other axis has the same key."""
    title = f"Along {of.words}" if alone else f"Along {of.words}: {of.workload}"
    return Chapter(
        f"along{number}",
        title,
        (headline(of), rates(of), equivalents(of)),
        facts=facts(of),
        answer=tuple(sentences(of)),
        warnings=tuple(warnings(of)),
        figures_start=f"along-{of.words.replace(' ', '-')}" + ("" if alone else f"-{number}"),
        labels={"axis": of.key, "workload": of.workload},
    )


def facts(of: Axis) -> str:
    """Return what is compared, in a line."""
    return f"{of.workload}; {of.headline_name}, {AIMS.get(of.direction, of.direction)}{equal_samples(of)}"


def equal_samples(of: Axis) -> str:
    """Return the samples of a run: where a batch axis has the same everywhere, this is the batch-size curve."""
    if of.samples is not None:
        curve = ": the batch-size curve at fixed samples" if of.key == BATCH else ""
        return f"; every run is trained on {of.samples:,} samples{curve}"
    known = [point.samples for point in of.points if point.samples is not None]
    return f"; trained on {min(known):,} to {max(known):,} samples" if known else ""


def sentences(of: Axis) -> Iterator[str]:
    """Yield what changes, a sentence for each contender, and what the base's learning rate costs."""
    for one in of.spans:
        if one.span.value is not None:
            yield (
                f"Between the best and the worst {of.words}, the {of.headline_name} of {one.contender} changes by "
                f"{estimate_text(one.span)}; best at {one.best:g}."
            )
    for one in of.transfers:
        first, last = one.curves[0], one.curves[-1]
        if last.cost.value is not None:
            yield (
                f"At {last.value:g}, the best learning rate of {first.value:g} costs {one.contender} "
                f"{estimate_text(last.cost)} validation {of.metric}{cautions(one)}."
            )


def warnings(of: Axis) -> Iterator[str]:
    """Yield who is undertuned, and at which values."""
    for name in names_of(of):
        where = [f"{point.value:g}" for point in of.points if point.contender == name and point.edges]
        if where:
            yield f"{name} is undertuned at {', '.join(where)}: the tuned setting lies on an edge of its search box."


def cautions(of: RateTransfer) -> str:
    """Return which best rates lie on the edge of the rates tried."""
    where = [f"{curve.value:g}" for curve in of.curves if curve.edge]
    return f" (the best rate lies on the edge of those tried at {', '.join(where)})" if where else ""


def headline(of: Axis) -> Section:
    """Return the headline at each value."""
    parts = present(headline_figure(of), headline_table(of), settings_table(of))
    return Section("headline", f"{capital(of.headline_name)} at each {of.words}", parts, (records(of),))


def records(of: Axis) -> Records:
    """Return a row for each contender and value."""
    spans = {one.contender: one.span for one in of.spans}
    return Records("axes", lambda: (flat(one) | spread("span", spans[one.contender]) for one in of.points))


def headline_figure(of: Axis) -> Figure | None:
    """Return the headline against the value, a line for each contender; values on the edge of a box are ringed."""
    if all(point.headline.value is None for point in of.points):
        return None
    series = tuple(line for name in names_of(of) for line in lines_of(of, name))
    caption = (
        f"Each contender is tuned at each {of.words} anew. Error bars: intervals of the mean over seeds. Ring: the "
        "tuned setting lies on the edge of its search box."
    )
    lines = Lines(series, x_axis(of), FigureAxis(of.headline_name))
    return Figure("headline", f"{capital(of.headline_name)} along {of.words}", lines, caption + fixed_words(of))


def fixed_words(of: Axis) -> str:
    """Return the sentence on equal samples for a caption."""
    return f" {capital(equal_samples(of)[2:])}." if equal_samples(of) else ""


def names_of(of: Axis) -> list[str]:
    """Return the contenders in their order."""
    return list(dict.fromkeys(point.contender for point in of.points))


def lines_of(of: Axis, name: str) -> Iterator[FigureSeries]:
    """Yield a contender's line, and the points whose tuning hit an edge."""
    points = [point for point in of.points if point.contender == name]
    found = [point.headline for point in points]
    x, y = [point.value for point in points], [one.value for one in found]
    yield FigureSeries(name, x, y, [one.low for one in found], [one.high for one in found], bars=True, mark="dot")
    edges = [point for point in points if point.edges]
    if edges:
        x, y = [point.value for point in edges], [point.headline.value for point in edges]
        yield FigureSeries(name, x, y, line="none", mark="ring", note="on an edge of its box")


def headline_table(of: Axis) -> Table:
    """Return the headline: a row for each contender, a column for each value."""
    found = {(point.contender, point.value): point for point in of.points}
    heads = [TableColumn(head(of, value), "estimate", group=of.words) for value in of.values]
    more = (TableColumn("span", "estimate"), TableColumn("best at", "number"))
    spans = {one.contender: (one.span, one.best) for one in of.spans}
    rows = tuple(
        (name, *(cell(found.get((name, value))) for value in of.values), *spans.get(name, (None, None)))
        for name in names_of(of)
    )
    note = (
        "Span: the largest mean minus the least, with selection variance in its interval; shown equal along the axis "
        "within a margin where the upper end is below it."
    )
    title = f"{capital(of.headline_name)} at each {of.words}"
    return Table(title, (CONTENDER, *heads, *more), rows, note, EVERYWHERE)


def cell(point: AxisPoint | None) -> Cell:
    """Return a headline, flagged where its tuning hit an edge or seeds failed."""
    if point is None:
        return None
    flags = [*(["edge"] if point.edges else []), *([f"{point.failed} failed"] if point.failed else [])]
    return Flagged(point.headline, ", ".join(flags)) if flags else point.headline


def settings_table(of: Axis) -> Table:
    """Return what tuning chose at each value."""
    keys = list(dict.fromkeys(key for point in of.points for key in point.tuned))
    return table(
        f"Tuned settings at each {of.words}",
        of.points,
        (CONTENDER, lambda one: one.contender),
        (TableColumn(of.words, "number"), lambda one: one.value),
        (TableColumn("steps", "count"), lambda one: one.steps),
        *((TableColumn(key, "value"), lambda one, key=key: setting(one, key)) for key in keys),
        folded=True,
    )


def setting(point: AxisPoint, key: str) -> Cell:
    """Return a tuned value, flagged where it lies on an edge of the box."""
    value = point.tuned.get(key)
    shown = short(value) if isinstance(value, float) else None if value is None else str(value)
    end = dict(point.edges).get(key)
    return Flagged(shown, f"{end} edge") if end else shown


def chapters(axes: Sequence[Axis]) -> Iterator[Chapter]:
    """Yield the chapter of each axis."""
    keys = [of.key for of in axes]
    for number, of in enumerate(axes, 1):
        yield chapter(of, number, keys.count(of.key) == 1)
