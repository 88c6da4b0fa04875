"""One look for a contender in every figure and table: a colour, a marker and a dash by its place among the names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optbench.reports.model.content import Estimate, Report
from optbench.reports.render.html.numbers import interval_of, value_of
from optbench.reports.render.html.tags import Markup, join, tag

COLOURS = 8  # --c0 ... --c7 of page.css
WIDTH, HEIGHT, EDGE = 168, 20, 8
INTERVAL = tag("span", "interval", class_="quiet")  # heads a column of whiskers


@dataclass(frozen=True, slots=True)
class Palette:
    """The contenders by name; their places do not depend on the results."""

    names: tuple[str, ...]

    def place(self, name: str) -> int:
        """Which contender; one that is not known shares the last look."""
        return self.names.index(name) if name in self.names else len(self.names)

    def who(self, name: str) -> Markup:
        """A contender's name with its colour."""
        dot = tag("i", class_=f"dot c{self.place(name) % COLOURS}", aria_hidden="true")
        return tag("span", dot, tag("bdi", name), class_="who")


def palette(report: Report) -> Palette:
    """The contenders of a report, sorted."""
    found = {row.contender for workload in report.workloads for row in workload.rows}
    found |= {curve.contender for workload in report.workloads for curve in (*workload.bands, *workload.curves)}
    found |= {run.contender for run in report.runs}
    return Palette(tuple(sorted(found)))


@dataclass(frozen=True, slots=True)
class Scale:
    """What a row of dots and whiskers spans."""

    low: float
    high: float
    mark: float | None = None
    """Drawn as a thin line: a target, a zero."""

    def at(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(EDGE + min(1.0, max(0.0, share)) * (WIDTH - 2 * EDGE), 1)


def scale(estimates: list[Estimate], mark: float | None = None, values: Sequence[float] = ()) -> Scale | None:
    """From the least end of all intervals, and single value, to the greatest; a mark is taken in if it is near."""
    ends = [end for e in estimates for end in (e.value, e.low, e.high) if end is not None]
    ends = [end for end in (*ends, *values) if math.isfinite(end)]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    reach = (high - low) or abs(high) or 1.0
    near = mark if mark is not None and low - reach <= mark <= high + reach else None
    return Scale(
        min([low, *([near] if near is not None else [])]), max([high, *([near] if near is not None else [])]), near
    )


def whisker(estimate: Estimate, on: Scale | None, place: int, values: Sequence[float] = ()) -> Markup:
    """An estimate as a dot with its interval as a line, single values as thin marks; empty where there is none."""
    if on is None or estimate.value is None:
        return Markup("")
    middle = HEIGHT / 2
    parts = []
    if on.mark is not None:
        x = on.at(on.mark)
        parts.append(tag("line", x1=x, x2=x, y1=1, y2=HEIGHT - 1, class_="mark"))
    seeds = sorted({on.at(value) for value in values if math.isfinite(value)})
    parts += [tag("line", x1=x, x2=x, y1=3, y2=HEIGHT - 3, class_="seed") for x in seeds]
    if estimate.low is not None and estimate.high is not None:
        parts.append(
            tag("line", x1=on.at(estimate.low), x2=on.at(estimate.high), y1=middle, y2=middle, class_="whisker")
        )
    parts.append(tag("circle", cx=on.at(estimate.value), cy=middle, r=4.5))
    text = f"{value_of(estimate)} {interval_of(estimate)}".strip()
    size = {"width": WIDTH, "height": HEIGHT, "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    return tag("svg", join(parts), class_=f"whisk c{place % COLOURS}", role="img", aria_label=text, **size)
