"""Intervals of all contenders on several workloads, a small panel each, drawn as SVG in the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from optbench.reports.model.document import Places
from optbench.reports.model.figure import Figure, Intervals, Panels
from optbench.reports.model.numbers import estimate_text, short
from optbench.reports.model.rows import Estimate
from optbench.reports.render.html.markup import tag

WIDTH, ROW, TOP, BOTTOM, EDGE = 312, 22, 6, 34, 10  # pixels
NAMES = 104  # pixels for the contenders' names
LONGEST = 16  # characters of a name
REACH = 2.0  # spans of the values beyond which the trivial answer is only named


@dataclass(frozen=True, slots=True)
class Span:
    """The values that a panel shows."""

    low: float
    high: float
    log: bool

    def x(self, value: float) -> float:
        """Return pixels from the left."""
        low, high, at = self.low, self.high, max(self.low, min(self.high, value))
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(at)
        share = (at - low) / (high - low)
        return round(NAMES + EDGE + share * (WIDTH - NAMES - 2 * EDGE), 1)


def panels(figure: Figure, places: Places) -> Markup | None:
    """Return the panels with their caption; None for another kind of figure."""
    if not isinstance(figure.data, Panels):
        return None
    drawn = [panel(one, places) for one in figure.data.panels if span_of(one)]
    return tag("figure", *drawn, tag("figcaption", figure.caption), class_="panels")


def span_of(of: Intervals) -> Span | None:
    """Return the range of a panel: all that is drawn, and the trivial answer where it is near. None without values."""
    ends = [end for _, one, values in of.rows for end in (one.value, one.low, one.high, *values) if end is not None]
    ends = [end for end in ends if math.isfinite(end)]
    if not ends:
        return None
    log = of.log and min(ends) > 0
    low, high = min(ends), max(ends)
    if of.line is not None and math.isfinite(of.line) and (of.line > 0 or not log):
        reach = REACH * (high - low)
        if log or low - reach <= of.line <= high + reach:
            low, high = min(low, of.line), max(high, of.line)
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2)
    return Span(low, high, log)


def panel(of: Intervals, places: Places) -> Markup:
    """Draw one workload."""
    on = span_of(of)
    assert on is not None
    bottom = TOP + ROW * len(of.rows)
    parts = [tag("line", x1=NAMES + EDGE, x2=WIDTH - EDGE, y1=bottom, y2=bottom, class_="axis")]
    parts += trivial(of, on, bottom)
    for number, row in enumerate(of.rows):
        parts += contender(row, on, TOP + ROW * (number + 0.5), places)
    parts += [
        tag("text", short(on.low, 3), x=NAMES + EDGE, y=bottom + 14, class_="tick"),
        tag("text", short(on.high, 3), x=WIDTH - EDGE, y=bottom + 14, class_="tick", text_anchor="end"),
        tag("text", axis_words(of, on), x=(NAMES + WIDTH) / 2, y=bottom + 29, class_="tick", text_anchor="middle"),
    ]
    size = {"width": WIDTH, "height": bottom + BOTTOM, "viewBox": f"0 0 {WIDTH} {bottom + BOTTOM}"}
    drawn = tag("svg", *parts, role="img", aria_label=f"{of.title}: {of.axis}", **size)
    return tag("div", tag("p", of.title, class_="over"), drawn)


def trivial(of: Intervals, on: Span, bottom: float) -> list[Markup]:
    """Draw the trivial answer as a line, where it is near."""
    if of.line is None or not on.low <= of.line <= on.high:
        return []
    return [tag("line", x1=on.x(of.line), x2=on.x(of.line), y1=2, y2=bottom, class_="mark")]


def axis_words(of: Intervals, on: Span) -> str:
    """Return the title of the axis, with the trivial answer where it is far away."""
    if of.line is None or on.low <= of.line <= on.high:
        return of.axis
    return f"{of.axis} ({'←' if of.line < on.low else '→'} trivial: {short(of.line, 3)})"


def contender(row: tuple[str, Estimate, Sequence[float]], on: Span, y: float, places: Places) -> list[Markup]:
    """Draw one contender: its name, its seeds, its interval, its mean."""
    name, of, values = row
    own = f"c{places.get(name, len(places))}"
    cut = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    parts = [tag("text", cut, tag("title", name), x=NAMES, y=y + 4, text_anchor="end")]
    marks = [tag("line", x1=x, x2=x, y1=y - 7, y2=y + 7, class_="seed") for x in sorted({on.x(v) for v in values})]
    if of.value is not None:
        if of.low is not None and of.high is not None:
            marks.append(tag("line", x1=on.x(of.low), x2=on.x(of.high), y1=y, y2=y, class_="whisker"))
        marks.append(tag("circle", tag("title", f"{name}: {estimate_text(of)}"), cx=on.x(of.value), cy=y, r=4.5))
    return [*parts, tag("g", *marks, class_=f"whisk {own}")]
