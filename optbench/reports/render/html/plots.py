"""Figures as plain data for figures.js, which draws them with plotly in the colours of the page.

A plot: {"kind": lines, bars, points or curves, "series": [...], "x": {"title", "type"}, "y": ...}. A series has `who`,
the place of its contender, `x`, `y` and, where known, `low` and `high`."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from optbench.reports.model.document import Places
from optbench.reports.model.figure import Bars, Curves, Figure, FigureAxis, FigureSeries, HeatMaps, LinePanels, Lines
from optbench.reports.model.rows import Curve, Sensitivity
from optbench.reports.render.html.markup import printable
from optbench.reports.render.html.packing import curve_data
from optbench.reports.render.palette import ramp

Plot = dict[str, object]
LABEL, TITLE = 32, 60  # characters
DECADES = 100.0  # from this range on a logarithmic axis has powers of ten only
SYMBOLS = {"cross": "x", "ring": "circle-open", "filled": "circle", "open": "circle-open"}
SIZES = {"cross": 10, "ring": 15}


def plots(figure: Figure, places: Places) -> list[tuple[Plot, str]]:
    """Return the plots of a figure with their captions; none where tables of the page show the same."""
    data, caption = figure.data, figure.caption or figure.title
    if isinstance(data, Lines):
        return [(lines(data, places), caption)]
    if isinstance(data, LinePanels):
        return [(shaded(of, data.names), title) for title, of in data.panels]
    if isinstance(data, Bars):
        return [(bars(data, places), caption)]
    if isinstance(data, HeatMaps):
        return [(points(data, one), one.contender) for one in data.maps]
    return []


def lines(data: Lines, places: Places) -> Plot:
    """Return series over two axes."""
    series = [series_data(one, place(one, places)) for one in sorted(data.series, key=lambda s: place(s, places))]
    x = axis(data.x, [value for one in data.series for value in one.x])
    guides = {"guides": [list(zip(*guide, strict=True)) for guide in data.guides]} if data.guides else {}
    return {"kind": "lines", "series": series, "x": x, "y": axis(data.y), **guides}


def shaded(data: Lines, names: Sequence[str]) -> Plot:
    """Return series that have names and colours of their own, in the order of the names."""
    order, shades = {name: k for k, name in enumerate(names)}, ramp(len(names))
    own = [{"label": label(one.contender), "shade": shades[order[one.contender]]} for one in data.series]
    series = [series_data(one, order[one.contender]) | look for one, look in zip(data.series, own, strict=True)]
    return lines(data, {}) | {"series": series}


def curves(figures: Sequence[Figure], places: Places) -> tuple[Plot, str]:
    """Return one plot of several columns; the page has a menu to choose from."""
    columns, targets = {}, {}
    for data in (figure.data for figure in figures):
        if isinstance(data, Curves):
            bands, runs = (in_order(of, places) for of in (data.bands, data.runs))
            columns[data.column] = {"bands": bands, "runs": runs, "title": printable(data.y)}
            targets |= {data.column: data.target} if data.target is not None else {}
    return {"kind": "curves", "columns": columns, "targets": targets}, figures[0].caption


def in_order(of: Sequence[Curve], places: Places) -> list[dict[str, object]]:
    """Return curves by contender and seed."""
    ordered = sorted(of, key=lambda curve: (place(curve, places), curve.seed or 0))
    return [curve_data(curve, place(curve, places)) for curve in ordered]


def place(of: Curve | FigureSeries, places: Places) -> int:
    """Return the place of a contender; unknown ones share the last."""
    return places.get(of.contender, len(places))


def series_data(one: FigureSeries, who: int) -> Plot:
    """Return one series."""
    data: Plot = {"who": who, "x": one.x, "y": one.y}
    if one.low and one.high:
        data |= {"low": one.low, "high": one.high, "bars": one.bars}
    if one.line == "steps":
        data["shape"] = "hv"
    if one.mark == "dot":
        data["marks"] = True
    if one.mark in SYMBOLS:
        size = SIZES.get(one.mark, 12) if one.area is None else 10 + 18 * math.sqrt(one.area)
        data |= {"only": SYMBOLS[one.mark], "size": size, "note": one.note, "named": not one.note}
    return data


def bars(data: Bars, places: Places) -> Plot:
    """Return stacked bars; of a single part in the contenders' colours."""
    series = [{"phase": k, "name": label(name), "x": values} for k, (name, values) in enumerate(data.parts)]
    labels = {"labels": [label(name, 18) for name in data.contenders]}
    plot: Plot = {"kind": "bars", "series": series, "x": axis(FigureAxis(data.axis)), "y": labels, "line": data.line}
    return plot | ({"who": [places.get(n, len(places)) for n in data.contenders]} if len(series) == 1 else {})


def points(data: HeatMaps, of: Sensitivity) -> Plot:
    """Return a metric over two hyperparameters, a dot for each trial."""
    every = range(len(of.x))
    fine = [i for i in every if of.value[i] is not None]
    kept = {
        "fine": fine,
        "failed": [i for i in every if of.value[i] is None],
        "chosen": [i for i in every if of.chosen is not None and math.isclose(of.x[i], of.chosen)],
    }
    marks = {name: {"x": [of.x[i] for i in found], "y": [of.y[i] for i in found]} for name, found in kept.items()}
    scale = {"value": [of.value[i] for i in fine], "worst": data.scale[0], "best": data.scale[1]}
    axes = {"across": axis(FigureAxis(of.key, log=True), of.x), "up": axis(FigureAxis(of.second, log=True), of.y)}
    return {"kind": "points", **marks, **scale, **axes, "title": label(data.metric)}


def axis(of: FigureAxis, values: Sequence[float] = ()) -> Plot:
    """Return an axis. `values`: all that is drawn along it, where ticks depend on them."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    data: Plot = {"title": label(of.title, TITLE), "type": "log" if of.log else "linear"}
    data |= {"values": of.ticks} if of.ticks else {}
    if of.whole:
        data["every"] = math.ceil(high / 10)
    if of.log and not of.ticks and low > 0:
        few = round_numbers(low, high) if high / low < DECADES else []
        data |= {"values": few} if len(few) > 1 else {"every": 1} if high / low >= DECADES else {}  # 1: a power of ten
    return data | ({"range": of.limits} if of.limits else {})


def round_numbers(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2 and 5 times a power of ten between two positive ones."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [number for number in every if low <= number <= high]


def label(text: str, length: int = LABEL) -> str:
    """Return text for a figure; plotly would draw a few tags and entities as markup. Long text is cut."""
    text = printable(text)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return html.escape(text, quote=False)
