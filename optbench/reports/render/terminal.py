"""The report on a terminal: the answer, and a few tables for each chapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

from optbench.reports.model.cells import BLOCKS, texts
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Report
from optbench.reports.model.document import Chapter
from optbench.reports.model.numbers import DASH, MINUS, TIMES
from optbench.reports.model.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

IN_ASCII = str.maketrans(f"{BLOCKS}{MINUS}{DASH}{TIMES}\u00b1\u2026", "_.:-=+*#--x~.")
WIDE = 200  # characters of a line in a pipe


def lines(report: Report) -> Iterator[RenderableType]:
    """Yield what rich prints, the answer first."""
    from rich.text import Text

    made = document(report)
    for line in made.answer:
        yield Text(clean(line), style="bold")
    for line in made.warnings:
        yield Text(clean(f"! {line}"), style="yellow")
    for chapter in made.chapters:
        yield from chapter_lines(chapter)


def chapter_lines(chapter: Chapter) -> Iterator[RenderableType]:
    """Yield the tables of a chapter that are for the terminal, under its name."""
    from rich.text import Text

    tables = [shown for part in chapter.parts if isinstance(part, Table) and (shown := part.shown_in("terminal"))]
    if not tables:
        return
    yield Text("")
    yield Text(clean(f"{chapter.title}: {chapter.facts}" if chapter.facts else chapter.title), style="italic")
    for table in tables:
        if len(table.columns) == 1:  # sentences
            yield from (Text(clean(f"  {cell}")) for (cell,) in texts(table))
        else:
            yield rich_table(table)
    for warning in chapter.warnings:
        yield Text(clean(f"  ! {warning}"), style="yellow")


def rich_table(of: Table) -> RenderableType:
    """Return a table without its note."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in of.columns:
        narrow = column.right or column.kind in ("ranks", "curve")
        justify = "right" if column.right else "left"
        table.add_column(clean(column.title), justify=justify, overflow="fold", no_wrap=narrow)
    for row in texts(of):
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table


def clean(text: str) -> str:
    """Return text without characters that would command a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def print_report(report: Report) -> None:
    """Print a report as wide as the terminal; in a pipe each sentence is one line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=WIDE)
    with console.capture() if not console.encoding.startswith("utf") else nullcontext() as caught:
        for line in lines(report):
            console.print(line, soft_wrap=isinstance(line, Text) and not console.is_terminal)
    if caught:
        console.file.write(fitting(caught.get(), console.encoding))


def fitting(text: str, encoding: str) -> str:
    """Return text that an encoding can write: signs that it lacks in ASCII, a question mark for any other."""

    def known(sign: str) -> str:
        if sign.isascii() or sign.encode(encoding, "ignore"):
            return sign
        return sign.translate(IN_ASCII).encode(encoding, "replace").decode(encoding)

    return "".join(map(known, text))
