"""What results look like in a notebook: short HTML in which no name of a file can become a tag."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure as Drawn

    from optbench.reports.model.document import Document


def rows_html(title: str, rows: Sequence[Mapping[str, object]], notes: Sequence[str] = ()) -> str:
    """Return a table of rows with equal keys under a title, and notes below it."""
    from optbench.reports.render.html.markup import printable, tag

    names = list(rows[0]) if rows else []
    head = tag("thead", tag("tr", *(tag("th", printable(name)) for name in names)))
    body = tag("tbody", *(tag("tr", *(tag("td", printable(str(row[name]))) for name in names)) for row in rows))
    table = tag("table", head, body) if rows else None
    return str(tag("div", tag("p", tag("b", printable(title))), table, *(tag("p", printable(note)) for note in notes)))


def lines_html(title: str, lines: Iterable[str]) -> str:
    """Return lines of text as they stand, under a title."""
    from optbench.reports.render.html.markup import printable, tag

    text = "\n".join(map(printable, lines))
    return str(tag("div", tag("p", tag("b", printable(title))), tag("pre", text)))


def first_screen(of: Document, figures: Mapping[str, Any]) -> Markup:
    """Return what a report's page shows first: claim, answer, standings with their figure, caveats, what to type."""
    from optbench.reports.model.document import OVERVIEW
    from optbench.reports.render.html.markup import items, tag
    from optbench.reports.render.html.table import html_table

    first = of.overview
    claim = tag("p", tag("b", first.claim)) if first.claim else None
    answer = [tag("p", tag("b", sentence)) for sentence in first.answer]
    shown = first.standings.shown_in("html")
    standings = html_table(shown, of.places) if shown else None
    figure = image(figures[OVERVIEW], first.figure.title) if first.figure else None
    caveats = tag("div", tag("p", "What weakens it:"), items(first.caveats)) if first.caveats else None
    steps = [tag("p", f"Next: {step.reason}", " ", tag("code", step.command)) for step in first.steps]
    return tag("div", claim, *answer, standings, figure, caveats, *steps)


def image(figure: Drawn, title: str) -> Markup:
    """Return a figure inside the page."""
    from optbench.reports.render.html.markup import tag

    content = base64.b64encode(png(figure)).decode()
    return tag("img", src=f"data:image/png;base64,{content}", alt=title, style="max-width:100%")


def png(figure: Drawn) -> bytes:
    """Return a figure as a PNG file's content."""
    from optbench.reports.render.figures.style import save, style

    out = io.BytesIO()
    with style():
        save(figure, out, "png")
    return out.getvalue()
