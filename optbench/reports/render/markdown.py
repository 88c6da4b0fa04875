"""The report in Markdown, for repositories and issues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from optbench.reports.model.cells import texts
from optbench.reports.model.document import OVERVIEW, Chapter, Document, Part
from optbench.reports.model.figure import Figure
from optbench.reports.model.overview import Overview
from optbench.reports.model.table import Cell, Link, Table

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$"} | {"&": "&amp;"})
FIRST = re.compile(r"^(\d*)([#+.)-])(?=[\s#]|$)")  # what starts a heading or an item of a list
MOST_ROWS = 200  # of a table; the CSV files have them all


def to_markdown(document: Document, pictures: Mapping[str, str]) -> str:
    """Return the report as Markdown. `pictures`: {name of a figure: path of its picture}."""
    parts = [f"# {text(document.report.title)}", *first_screen(document.overview, pictures)]
    for chapter in document.chapters:
        parts += chapter_parts(chapter, pictures)
    parts.append(f"Made by {text(document.report.made_with)}: {text(document.report.command)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def first_screen(of: Overview, pictures: Mapping[str, str]) -> Iterator[str]:
    """Yield what is read first."""
    yield text(of.claim)
    yield bullets(f"**{text(line)}**" for line in of.answer)
    if of.figure and (path := pictures.get(OVERVIEW)):
        yield f"![{text(of.figure.title)}]({path})"
    if shown := of.standings.shown_in("markdown"):
        yield from table(shown)
    yield bullets(map(text, of.caveats))
    yield "\n\n".join(f"Next: {text(step.reason)}\n\n{code(step.command)}" for step in of.steps)


def code(command: str) -> str:
    """Return a command as a block of code."""
    line = " ".join("".join(c if c.isprintable() else " " for c in command).split())
    return "    " + line


def to_markdown_index(title: str, of: Table) -> str:
    """Return the list of several studies."""
    return "\n\n".join(part for part in (f"# {text(title)}", *table(of)) if part) + "\n"


def chapter_parts(chapter: Chapter, pictures: Mapping[str, str]) -> Iterator[str]:
    """Yield a chapter, nothing where it has no content."""
    shown: list[str] = []
    for section in chapter.sections:
        inner = list(drawn(section.parts, chapter, pictures))
        shown += [f"### {text(section.title)}" if section.title else "", *inner] if inner else []
    if shown:
        yield f"## {text(chapter.title)}"
        yield text(chapter.facts)
        yield bullets(map(text, chapter.answer))
        yield bullets(map(text, chapter.warnings))
        yield from shown


def drawn(parts: Iterable[Part], chapter: Chapter, pictures: Mapping[str, str]) -> Iterator[str]:
    """Yield the parts that Markdown can show."""
    for part in parts:
        if isinstance(part, str):
            yield text(part)
        elif isinstance(part, tuple):
            yield bullets(map(text, part))
        elif isinstance(part, Figure) and (path := pictures.get(chapter.name_of(part))):
            yield f"![{text(chapter.title)}: {text(part.title)}]({path})"
            yield text(part.caption)
        elif isinstance(part, Table) and (shown := part.shown_in("markdown")):
            yield from table(shown)


def table(of: Table) -> Iterator[str]:
    """Yield a table with its note, and how many rows are not listed."""
    yield f"**{text(of.title)}**"
    aligned = ["---:" if column.right else "---" for column in of.columns]
    rows = [list(map(linked, row, words)) for row, words in zip(of.rows, texts(of), strict=True)]
    lines = [[text(column.whole_title) for column in of.columns], aligned, *rows[:MOST_ROWS]]
    yield "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
    if len(rows) > MOST_ROWS:
        yield f"and {len(rows) - MOST_ROWS} more"
    yield text(of.note)


def linked(cell: Cell, words: str) -> str:
    """Return a cell's text, with the address that it leads to."""
    return f"[{text(words)}]({quote(cell.address)})" if isinstance(cell, Link) else text(words)


def bullets(lines: Iterable[str]) -> str:
    """Return a list, empty for no lines."""
    return "\n".join(f"- {line}" for line in lines)


def text(words: object) -> str:
    """Return words in one line, with nothing in them that Markdown would act on."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return FIRST.sub(r"\1\\\2", line.translate(SPECIAL))
