"""The look of all figures. The same data give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from optbench.errors import printable
from optbench.reports.model.document import Places
from optbench.reports.render.palette import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

VERSION = 6  # of the look: a new one draws every figure anew
MARKERS = "osD^vPX*"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
GREY = "#777777"
WIDTH, HEIGHT, DPI = 6.4, 4.0, 150
LEGEND_ROW = 0.19  # inches
LONGEST = 40  # characters of a contender's name
LEGEND_LINE = 60  # characters of the names in one row of a legend of WIDTH


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's parameters for a figure, and restore them."""
    import matplotlib

    ours: dict[Any, Any] = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e4e4e4",
        "axes.axisbelow": True,
        "legend.frameon": False,
        "figure.dpi": DPI,
        "svg.hashsalt": "optbench",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "axes.formatter.useoffset": False,
    }
    with matplotlib.rc_context(ours):
        yield


def new(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return an empty figure with its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def save(figure: Figure, out: IO[bytes], ending: str) -> None:
    """Write a figure without a date and the program's version. Signs that no font has become boxes; SVG gets none that
    XML may not contain."""
    import io
    import warnings

    none = {"svg": ("Date",), "pdf": ("CreationDate", "Producer", "Creator")}.get(ending, ("Software",))
    about: dict[str, Any] = dict.fromkeys(none)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        if ending != "svg":
            figure.savefig(out, format=ending, dpi=DPI, metadata=about)
            return
        text = io.StringIO()
        figure.savefig(text, format=ending, dpi=DPI, metadata=about)
    out.write("\n".join(map(printable, text.getvalue().split("\n"))).encode())


def look(name: str, places: Places) -> dict[str, Any]:
    """Return a contender's colour, dash and marker."""
    place = places.get(name, len(places))
    return {
        "color": palette(1 + max(place, len(places)))[place][0],
        "linestyle": DASHES[(place // len(MARKERS) + place) % len(DASHES)],
        "marker": MARKERS[(place // len(MARKERS) + place) % len(MARKERS)],
    }


def colour(name: str, places: Places) -> str:
    """Return a contender's colour."""
    return look(name, places)["color"]


def short(name: str) -> str:
    """Return a name that fits: of a long one the start and the end, in which names of one family differ."""
    line = "".join(c if c.isprintable() else " " for c in name)
    half = LONGEST // 2
    return line if len(line) <= LONGEST else f"{line[:half]}…{line[-(half - 1) :]}"


def rows_of(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure, from the lowest up."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)


def legend(axes: Axes) -> None:
    """Name the contenders above the axes; each row of names but the first makes the figure higher."""
    from matplotlib.figure import Figure

    handles, labels = axes.get_legend_handles_labels()
    figure = axes.figure
    if not handles or not isinstance(figure, Figure):
        return
    width, height = figure.get_size_inches()
    columns = max(1, min(4, int(LEGEND_LINE * width / WIDTH) // max(map(len, labels))))
    figure.set_size_inches(width, height + LEGEND_ROW * (math.ceil(len(labels) / columns) - 1))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)


def log(axis: Axis) -> None:
    """Write plain numbers on a logarithmic axis, between the powers of ten too where there are few."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):  # here, as matplotlib is imported late
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))


def logit(axis: Axis) -> None:
    """Write plain numbers on a logit axis: 0.99, not 1 - 10^-2."""
    from matplotlib.ticker import LogitFormatter

    class Plain(LogitFormatter):  # here, as matplotlib is imported late
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:.10g}" if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(minor=True))


def floats(values: Sequence[float | None]) -> list[float]:
    """Return None as nan, which is not drawn."""
    return [math.nan if value is None else value for value in values]
