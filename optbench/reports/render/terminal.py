"""The report on a terminal: the answer, and a few tables for each chapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from optbench.errors import printable
from optbench.reports.model.cells import BLOCKS, texts
from optbench.reports.model.chapters import document
from optbench.reports.model.content import Report
from optbench.reports.model.document import Chapter
from optbench.reports.model.index import IndexEntry, index_table
from optbench.reports.model.numbers import DASH, MINUS, TIMES
from optbench.reports.model.overview import Overview, overview
from optbench.reports.model.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

IN_ASCII = str.maketrans(f"{BLOCKS}{MINUS}{DASH}{TIMES}\u00b1\u2026\u2191\u2193", "_.:-=+*#--x~.^v")
WIDE = 200  # characters of a line in a pipe


def lines(report: Report, width: int = WIDE) -> Iterator[RenderableType]:
    """Yield what rich prints, the first screen first."""
    made = document(report)
    yield from first_screen(made.overview, width)
    for chapter in made.chapters:
        yield from chapter_lines(chapter)


def first_screen(of: Overview, width: int) -> Iterator[RenderableType]:
    """Yield the claim, the answer, the standings, the caveats and what to type next."""
    from rich.text import Text

    if of.claim:
        yield Text(printable(of.claim), style="bold")
    for line in of.answer:
        yield Text(printable(line), style="bold")
    if shown := of.standings.shown_in("terminal"):
        yield from map(rich_table, fitting_tables(shown, width))
    for line in of.caveats:
        yield Text(printable(f"! {line}"), style="yellow")
    for step in of.steps:
        yield Text(printable(f"Next: {step.reason}"))
        yield Text(printable(f"  {step.command}"), style="bold")


def fitting_tables(of: Table, width: int) -> list[Table]:
    """Return a table, or one for each group of its columns where it would be too wide."""
    cells = [[column.group for column in of.columns], [column.title for column in of.columns], *texts(of)]
    needed = sum(2 + max(map(len, column)) for column in zip(*cells, strict=True))
    groups = list(dict.fromkeys(column.group for column in of.columns if column.group))
    if needed <= width or len(groups) < 2:
        return [of]
    kept = [[n for n, column in enumerate(of.columns) if column.group in ("", group)] for group in groups]
    return [
        replace(
            of, columns=tuple(of.columns[n] for n in those), rows=tuple(tuple(row[n] for n in those) for row in of.rows)
        )
        for those in kept
    ]


def chapter_lines(chapter: Chapter) -> Iterator[RenderableType]:
    """Yield the tables of a chapter that are for the terminal, under its name."""
    from rich.text import Text

    tables = [shown for part in chapter.parts if isinstance(part, Table) and (shown := part.shown_in("terminal"))]
    if not tables:
        return
    yield Text("")
    yield Text(printable(f"{chapter.title}: {chapter.facts}" if chapter.facts else chapter.title), style="italic")
    yield from (Text(printable(f"  {sentence}")) for sentence in chapter.answer)
    for table in tables:
        if len(table.columns) == 1:  # sentences
            yield from (Text(printable(f"  {cell}")) for (cell,) in texts(table))
        else:
            yield rich_table(table)
    for warning in chapter.warnings:
        yield Text(printable(f"  ! {warning}"), style="yellow")


def rich_table(of: Table) -> RenderableType:
    """Return a table without its note."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in of.columns:
        narrow = column.right or column.kind in ("ranks", "curve")
        justify = "right" if column.right else "left"
        title = "\n".join(printable(words) for words in (column.group, column.title) if words)
        table.add_column(title, justify=justify, overflow="fold", no_wrap=narrow)
    for row in texts(of):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def print_report(report: Report) -> None:
    """Print a report as wide as the terminal; in a pipe each sentence is one line."""
    print_lines(lambda width: lines(report, width))


def print_first_screen(report: Report) -> None:
    """Print the first screen of a report."""
    print_lines(lambda width: first_screen(overview(report), width))


def print_index(entries: Sequence[IndexEntry]) -> None:
    """Print the list of several studies."""
    print_lines(lambda width: [rich_table(index_table(entries))])


def print_lines(lines_for: Callable[[int], Iterable[RenderableType]]) -> None:
    """Print what rich shows in a width."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    for line in lines_for(console.width):
        console.print(line, soft_wrap=isinstance(line, Text) and not console.is_terminal)


def fitting(text: str, encoding: str) -> str:
    """Return text that an encoding can write: signs that it lacks in ASCII, a question mark for any other."""

    def known(sign: str) -> str:
        if sign.isascii() or sign.encode(encoding, "ignore"):
            return sign
        return sign.translate(IN_ASCII).encode(encoding, "replace").decode(encoding)

    return "".join(map(known, text))
