"""Estimates drawn in the cells of a table: dots with whiskers, on one scale for a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from optbench.reports.model.numbers import estimate_text
from optbench.reports.model.table import Whisker
from optbench.reports.render.html.markup import tag

WIDTH, HEIGHT, EDGE = 168, 20, 8  # pixels


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of a column of whiskers."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return pixels from the left."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(EDGE + min(1.0, max(0.0, share)) * (WIDTH - 2 * EDGE), 1)


def scale(whiskers: Sequence[Whisker]) -> Scale | None:
    """Return the scale from the least to the greatest that is drawn; it includes marks that are near."""
    ends = [end for one in whiskers for end in (one.of.value, one.of.low, one.of.high, *one.values) if end is not None]
    ends = [end for end in ends if math.isfinite(end)]
    if not ends:
        return None
    low, high = min(ends), max(ends)
    reach = (high - low) or abs(high) or 1.0
    marks = [mark for one in whiskers for mark in one.marks if low - reach <= mark <= high + reach]
    return Scale(min([low, *marks]), max([high, *marks]))


def drawn(one: Whisker, on: Scale | None, place: int) -> Markup:
    """Draw an estimate in the colour of the contender at `place`; nothing where there is no value."""
    of = one.of
    if on is None or of.value is None or not math.isfinite(of.value):
        return Markup("")
    middle = HEIGHT / 2
    seeds = sorted({on.x(value) for value in one.values if math.isfinite(value)})
    parts = [tag("line", x1=x, x2=x, y1=3, y2=HEIGHT - 3, class_="seed") for x in seeds]
    for x in (on.x(mark) for mark in one.marks if on.low <= mark <= on.high):
        parts.append(tag("line", x1=x, x2=x, y1=1, y2=HEIGHT - 1, class_="mark"))
    if of.low is not None and of.high is not None:
        parts.append(tag("line", x1=on.x(of.low), x2=on.x(of.high), y1=middle, y2=middle, class_="whisker"))
    parts.append(tag("circle", cx=on.x(of.value), cy=middle, r=4.5))
    size = {"width": WIDTH, "height": HEIGHT, "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    return tag("svg", *parts, class_=f"whisk c{place}", role="img", aria_label=estimate_text(of), **size)
