"""Figures of a report: what is drawn, for plotly and matplotlib alike. The type of `data` says how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optbench.reports.model.content import Across, Claim
from optbench.reports.model.rows import Curve, Estimate, Sensitivity

Numbers = Sequence[float | None]
Mark = Literal["none", "dot", "cross", "ring", "filled", "open"]


@dataclass(frozen=True, slots=True)
class FigureAxis:
    """One axis."""

    title: str
    log: bool = False
    ticks: tuple[float, ...] = ()
    """Only here, where there are any."""
    whole: bool = False
    """Ticks at whole numbers only."""
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class FigureSeries:
    """Points of one contender."""

    contender: str
    x: Sequence[float]
    y: Numbers
    low: Numbers = ()
    """With `high`: the ends of an interval, drawn as a band, or as error bars if `bars`."""
    high: Numbers = ()
    bars: bool = False
    line: Literal["straight", "steps", "none"] = "straight"
    mark: Mark = "none"
    area: float | None = None
    """The area of the marks against the largest one's, 0 to 1."""
    note: str = ""
    """A label if these are only some of the contender's points: failed, chosen."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Series over two axes."""

    series: tuple[FigureSeries, ...]
    x: FigureAxis
    y: FigureAxis
    guides: tuple[tuple[tuple[float, float], ...], ...] = ()
    """Dotted lines through points (x, y), of no contender."""


@dataclass(frozen=True, slots=True)
class LinePanels:
    """Lines of ordered things, the same in each of several panels."""

    panels: tuple[tuple[str, Lines], ...]
    """(title, lines): the `contender` of a series is one of `names`."""
    names: tuple[str, ...]
    """In order: their colours go from cold to warm."""


@dataclass(frozen=True, slots=True, repr=False)
class Curves:
    """One column of the records: means over seeds with bands, and single runs. Files show the runs where there are no
    bands."""

    column: str
    y: str
    target: float | None
    bands: tuple[Curve, ...]
    runs: tuple[Curve, ...]

    def __repr__(self) -> str:
        """Return what files show, by which they are known to be out of date."""
        return f"Curves({self.column!r}, {self.y!r}, {self.target!r}, {self.bands or self.runs!r})"


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar for each contender, stacked of parts. A single part has the contenders' colours."""

    contenders: tuple[str, ...]
    parts: tuple[tuple[str, tuple[float, ...]], ...]
    axis: str
    line: float | None = None
    """A value marked across all bars."""


@dataclass(frozen=True, slots=True)
class HeatMaps:
    """A metric over two hyperparameters, a map for each contender, all with one scale of colours."""

    metric: str
    maps: tuple[Sensitivity, ...]
    worst: float
    """The worst value of all; failed trials get its colour."""
    scale: tuple[float, float]
    """The values of the worst and the best colour; beyond them colours stay."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """A dot with its interval for each contender, single values as thin marks; the first on top."""

    axis: str
    rows: tuple[tuple[str, Estimate, tuple[float, ...]], ...]
    line: float | None = None
    """The trivial answer's value, marked across all rows."""
    log: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Panels:
    """The same contenders on several workloads, a small panel each."""

    panels: tuple[Intervals, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure. Files are named after `key`."""

    key: str
    title: str
    data: Lines | LinePanels | Curves | Bars | HeatMaps | Intervals | Panels | Claim | Across
    caption: str = ""
