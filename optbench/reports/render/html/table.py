"""Tables as HTML: each column is written by its kind."""

from __future__ import annotations

import itertools
from urllib.parse import quote

from markupsafe import Markup, escape

from optbench.reports.model.cells import cell_text
from optbench.reports.model.document import Places
from optbench.reports.model.numbers import interval_text, value_text
from optbench.reports.model.rows import Estimate
from optbench.reports.model.table import Cell, Flagged, Link, Table, TableColumn, Whisker
from optbench.reports.render.html.markup import folded, join, tag
from optbench.reports.render.html.whisker import drawn, scale

SIGNS = {"better": "▲", "worse": "▼", "tie": "=", "undecided": "?"}
CLASSES = {"verdict": "middle", "sign": "middle", "heat": "middle", "ranks": "rank"}


def html_table(of: Table, places: Places) -> Markup:
    """Return a table in a box that scrolls sideways by itself, its note below; on a click if it is folded."""
    columns = [written(of, k, places) for k in range(len(of.columns))]
    classes = ["num" if column.right else CLASSES.get(column.kind) for column in of.columns]
    heads = [tag("th", title(c, places), scope="col", class_=kind) for c, kind in zip(of.columns, classes, strict=True)]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_=classes[0]),
            *(tag("td", cell, class_=kind) for cell, kind in zip(row[1:], classes[1:], strict=True)),
        )
        for row in zip(*columns, strict=True)
    ]
    caption = None if of.folded else tag("caption", tag("span", of.title))
    inner = tag("table", caption, tag("thead", groups(of), tag("tr", *heads)), tag("tbody", *body))
    box = tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=of.title)
    note = tag("p", of.note, class_="note") if of.note else None
    return folded(of.title, box, note, class_="numbers") if of.folded else join([box, note])


def groups(of: Table) -> Markup | None:
    """Return the row of heads over groups of columns, None without groups."""
    if not any(column.group for column in of.columns):
        return None
    found = [(name, len(list(inner))) for name, inner in itertools.groupby(of.columns, lambda column: column.group)]
    return tag("tr", *(tag("th", n, scope="colgroup", colspan=k, class_="group" if n else None) for n, k in found))


def title(column: TableColumn, places: Places) -> Markup:
    """Return the head of a column."""
    if column.title in places and column.kind in ("verdict", "sign", "heat"):
        return contender(column.title, places)
    return tag("code", column.title) if column.kind == "value" else escape(column.title)


def written(of: Table, k: int, places: Places) -> list[Markup]:
    """Return the cells of one column."""
    column, cells = of.columns[k], [row[k] for row in of.rows]
    if column.kind == "whisker":
        whiskers = [cell for cell in cells if isinstance(cell, Whisker)]
        on = scale(whiskers)
        owners = [places.get(str(row[0]), len(places)) for row in of.rows]
        return [drawn(cell, on, place) for cell, place in zip(whiskers, owners, strict=True)]
    if column.kind == "heat":
        worst = max(
            int(high) for row in of.rows for cell in row if isinstance(cell, tuple) for high in cell[1:] if high
        )
        return [heat(cell, column, worst) for cell in cells]
    return [html_cell(cell, column, places) for cell in cells]


def html_cell(cell: Cell, column: TableColumn, places: Places) -> Markup:
    """Return one cell."""
    text = cell_text(cell, column)
    if isinstance(cell, Flagged):
        unknown = cell.value is None or (isinstance(cell.value, Estimate) and cell.value.value is None)
        value = None if unknown and cell.flag else html_cell(cell.value, column, places)
        kind = "badge undecided" if cell.calm else "badge worse"
        return join([value, tag("span", cell.flag, class_=kind) if cell.flag else None], " ")
    if isinstance(cell, Link):
        return tag("a", text, href=quote(cell.address))
    if isinstance(cell, Estimate) and (interval := interval_text(cell)):
        return join([value_text(cell), tag("small", interval)], " ")
    if not text:
        return Markup("")
    if column.kind == "contender":
        return contender(text, places)
    if column.kind == "code":
        return tag("code", text)
    if column.kind == "long":
        return tag("span", text, class_="long")
    if column.kind in ("verdict", "sign"):
        kind = text if text in SIGNS else "undecided"
        words = f"{SIGNS[kind]} {text}" if column.kind == "verdict" else SIGNS[kind]
        return tag("span", words, class_=f"badge {kind}", title=text)
    return escape(text)


def contender(name: str, places: Places) -> Markup:
    """Return a contender's name with its colour."""
    dot = tag("i", class_=f"dot c{places[name]}", aria_hidden="true") if name in places else None
    return tag("span", dot, tag("bdi", name), class_="who")


def heat(cell: Cell, column: TableColumn, worst: int) -> Markup:
    """Return a range of ranks, coloured by its middle in five depths."""
    if not isinstance(cell, tuple):
        return Markup("")
    middle = sum(rank or 0 for rank in cell) / 2
    depth = 4 - round(4 * (middle - 1) / (worst - 1)) if worst > 1 else 4
    return tag("span", cell_text(cell, column), class_=f"heat h{depth}")
