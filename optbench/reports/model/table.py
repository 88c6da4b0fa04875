"""Tables of a report: typed columns, and cells that are values. Each output writes any table by its columns' kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from optbench.reports.model.rows import Estimate

Output = Literal["terminal", "markdown", "html"]
EVERYWHERE: tuple[Output, ...] = ("terminal", "markdown", "html")
DOCUMENTS: tuple[Output, ...] = ("markdown", "html")
HTML: tuple[Output, ...] = ("html",)
TERMINAL: tuple[Output, ...] = ("terminal",)

Kind = Literal[
    "text",
    "code",
    "long",  # several sentences
    "contender",
    "link",
    "verdict",
    "sign",  # a verdict as its sign alone
    "value",  # of a hyperparameter: any type
    "count",
    "number",
    "cost",  # text with a number, as 0.5\u00d7
    "bytes",
    "p",  # a p-value
    "estimate",  # with its interval
    "whisker",  # the same, drawn; outputs of text leave it out
    "curve",  # values, drawn in a row of blocks
    "ranks",  # (lowest, highest)
    "heat",  # the same, the better the darker
]
RIGHT: frozenset[Kind] = frozenset({"value", "count", "number", "cost", "bytes", "p", "estimate"})


@dataclass(frozen=True, slots=True)
class Flagged:
    """A value with a warning behind it, or none."""

    value: Cell
    flag: str = ""
    calm: bool = False
    """True if the flag is news and no warning."""


@dataclass(frozen=True, slots=True)
class Whisker:
    """An estimate to be drawn: a dot, its interval as a line, single values as thin marks."""

    of: Estimate
    values: tuple[float, ...] = ()
    marks: tuple[float, ...] = ()
    """Values to mark, where they are near."""


@dataclass(frozen=True, slots=True)
class Link:
    """Text that leads to another file of the report."""

    text: str
    address: str


Cell = Link | str | float | None | Estimate | Flagged | Whisker | tuple[int, int] | tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """The format of a column's cells."""

    title: str
    kind: Kind = "text"
    outputs: tuple[Output, ...] = EVERYWHERE
    digits: int = 4
    """Significant digits of a number."""
    group: str = ""
    """A head over neighbouring columns."""

    @property
    def whole_title(self) -> str:
        """The title with that of its group."""
        return f"{self.group}: {self.title}" if self.group else self.title

    @property
    def right(self) -> bool:
        """True where cells are set to the right."""
        return self.kind in RIGHT


CONTENDER = TableColumn("contender", "contender")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, one for each column. The first cell names the row."""

    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    outputs: tuple[Output, ...] = DOCUMENTS
    folded: bool = False
    """HTML shows it on a click."""

    def shown_in(self, output: Output) -> Table | None:
        """Return the table with the columns that an output shows and in which anything is known; None without rows."""
        if output not in self.outputs:
            return None
        kept = [
            n
            for n, column in enumerate(self.columns)
            if output in column.outputs and any(is_known(row[n]) for row in self.rows)
        ]
        if not kept:
            return None
        columns = tuple(self.columns[n] for n in kept)
        rows = tuple(tuple(row[n] for n in kept) for row in self.rows)
        return Table(self.title, columns, rows, self.note, self.outputs, self.folded)


T = TypeVar("T")


def table(
    title: str,
    items: Iterable[T],
    *columns: tuple[TableColumn, Callable[[T], Cell]],
    note: str = "",
    outputs: tuple[Output, ...] = DOCUMENTS,
    folded: bool = False,
) -> Table:
    """Return a table with a row for each item. `columns`: each with the function that returns an item's cell."""
    rows = tuple(tuple(cell(item) for _, cell in columns) for item in items)
    return Table(title, tuple(column for column, _ in columns), rows, note, outputs, folded)


def is_known(cell: Cell) -> bool:
    """Return False for a cell with nothing to show."""
    if isinstance(cell, Flagged):
        return cell.value is not None or bool(cell.flag)
    if isinstance(cell, Whisker):
        return cell.of.value is not None
    if isinstance(cell, Estimate):
        return cell.value is not None
    return cell not in (None, "", ())


def capital(text: str) -> str:
    """Return a sentence with its first letter large, the others as they are."""
    return text[:1].upper() + text[1:]
