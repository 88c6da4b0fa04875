"""The report in Markdown, for repositories and issues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from optbench.reports.model.cells import texts
from optbench.reports.model.document import Chapter, Document, Part
from optbench.reports.model.figure import Figure
from optbench.reports.model.table import Table

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$"} | {"&": "&amp;"})
FIRST = re.compile(r"^(\d*)([#+.)-])(?=[\s#]|$)")  # what starts a heading or an item of a list
MOST_ROWS = 200  # of a table; the CSV files have them all


def to_markdown(document: Document, pictures: Mapping[str, str]) -> str:
    """Return the report as Markdown. `pictures`: {name of a figure: path of its picture}."""
    parts = [f"# {text(document.report.title)}", bullets(f"**{text(line)}**" for line in document.answer)]
    parts.append(bullets(map(text, document.warnings)))
    for chapter in document.chapters:
        parts += chapter_parts(chapter, pictures)
    parts.append(f"Made by {text(document.report.made_with)}: {text(document.report.command)}")
    return "\n\n".join(part for part in parts if part) + "\n"


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
    rows = [[text(cell) for cell in row] for row in texts(of)]
    lines = [[text(column.title) for column in of.columns], aligned, *rows[:MOST_ROWS]]
    yield "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
    if len(rows) > MOST_ROWS:
        yield f"and {len(rows) - MOST_ROWS} more"
    yield text(of.note)


def bullets(lines: Iterable[str]) -> str:
    """Return a list, empty for no lines."""
    return "\n".join(f"- {line}" for line in lines)


def text(words: object) -> str:
    """Return words in one line, with nothing in them that Markdown would act on."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(words)).split())
    return FIRST.sub(r"\1\\\2", line.translate(SPECIAL))
