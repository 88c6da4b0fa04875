"""The chapters of a page, and what is gathered while they are drawn: the plots' data, the table of contents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from optbench.reports.model.content import NextStep
from optbench.reports.model.document import Chapter, Document, Gallery, Part
from optbench.reports.model.figure import Curves, Figure
from optbench.reports.render.html.markup import items, join, tag
from optbench.reports.render.html.panels import panels
from optbench.reports.render.html.pictures import Album, gallery
from optbench.reports.render.html.plots import Plot, curves, plots
from optbench.reports.render.html.runs import listing
from optbench.reports.render.html.table import html_table


class Body:
    """Draws a document."""

    def __init__(self, document: Document, root: Path) -> None:
        self.document = document
        self.root = root
        self.places = document.places
        self.album = Album()
        self.plots: list[Plot] = []
        self.contents: list[tuple[int, str, str]] = []
        """(level, id, title)"""

    def place(self, contender: str) -> int:
        """Return a contender's place; unknown ones share the last."""
        return self.places.get(contender, len(self.places))

    def drawn(self) -> Iterator[Markup]:
        """Yield the first screen, every chapter with content, and the list of runs."""
        yield self.first_screen()
        for chapter in self.document.chapters:
            yield self.chapter(chapter)
        if self.document.report.runs:
            self.contents.append((2, "runs", "Runs"))
            yield tag("section", tag("h2", "Runs"), listing(self.document.report), id="runs")

    def first_screen(self) -> Markup:
        """Return what is read first: claim, answer, standings with their figure, caveats, what to type."""
        self.contents.append((2, "verdict", "Verdict"))
        of = self.document.overview
        claim = tag("p", of.claim, class_="claim") if of.claim else None
        answer = tag("div", *(tag("p", sentence) for sentence in of.answer), class_="answer")
        shown = of.standings.shown_in("html")
        standings = tag("div", html_table(shown, self.places)) if shown else None
        figure = panels(of.figure, self.places) if of.figure else None
        caveats = tag("div", tag("h3", "What weakens it"), items(of.caveats), class_="warnings") if of.caveats else None
        side_by_side = tag("div", standings, figure, class_="standings")
        return tag(
            "section", tag("h2", "Verdict"), claim, answer, side_by_side, caveats, next_steps(of.steps), id="verdict"
        )

    def chapter(self, chapter: Chapter) -> Markup:
        """Return a chapter, nothing where it has no content."""
        place = len(self.contents)
        inner = list(self.sections(chapter))
        if not inner:
            return Markup("")
        self.contents.insert(place, (2, chapter.key, chapter.title))
        facts = tag("p", chapter.facts, class_="facts") if chapter.facts else None
        answer = tag("div", *(tag("p", sentence) for sentence in chapter.answer), class_="answer small")
        warnings = tag("div", items(chapter.warnings), class_="warnings") if chapter.warnings else None
        head = [tag("h2", chapter.title), facts, answer if chapter.answer else None, warnings]
        return tag("section", *head, *inner, id=chapter.key, class_="chapter")

    def sections(self, chapter: Chapter) -> Iterator[Markup]:
        """Yield the sections that have something to show."""
        for section in chapter.sections:
            inner = list(self.parts(section.parts))
            if inner and not section.title:
                yield from inner
            elif inner:
                key = f"{chapter.key}-{section.key}"
                self.contents.append((3, key, section.title))
                yield tag("section", tag("h3", section.title), *inner, id=key)

    def parts(self, parts: Iterable[Part]) -> Iterator[Markup]:
        """Yield parts in order. Neighbouring figures of curves share a plot."""
        for are_curves, found in itertools.groupby(parts, has_curves):
            if are_curves:
                yield self.plot(*curves([part for part in found if isinstance(part, Figure)], self.places))
            else:
                yield from (drawn for part in found for drawn in self.part(part))

    def part(self, part: Part) -> Iterator[Markup]:
        """Yield one part, nothing where this page cannot show it."""
        if isinstance(part, str):
            yield tag("p", part)
        elif isinstance(part, tuple):
            yield items(part)
        elif isinstance(part, Gallery):
            yield gallery(self.album, part.pictures, self.places, self.root)
        elif isinstance(part, Figure):
            found = [self.plot(*one) for one in plots(part, self.places)]
            note = tag("p", part.caption, class_="note")
            yield from found if len(found) < 2 else (tag("div", *found, class_="plots"), note)
        elif shown := part.shown_in("html"):
            yield html_table(shown, self.places)

    def plot(self, data: Plot, caption: str) -> Markup:
        """Return the place of a plot; figures.js draws it there."""
        self.plots.append(data)
        plot = tag("div", class_="plot", data_figure=len(self.plots) - 1, role="img", aria_label=caption)
        return tag("figure", plot, tag("figcaption", caption))


def next_steps(steps: Sequence[NextStep]) -> Markup | None:
    """Return what to type next, and why."""
    if not steps:
        return None
    shown = (tag("li", step.reason, tag("pre", command(step.command), tabindex="0")) for step in steps)
    return tag("div", tag("h3", "Next"), tag("ul", *shown), class_="next")


def command(text: str) -> Markup:
    """Return a command that breaks into lines between its words alone."""
    return tag("code", join((tag("span", word, class_="word") for word in text.split(" ")), " "))


def has_curves(part: Part) -> bool:
    """Return True for a figure of learning curves."""
    return isinstance(part, Figure) and isinstance(part.data, Curves)
