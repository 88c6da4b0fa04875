"""A report as a document: chapters of sections, in reading order. Outputs draw it and know no section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from optbench.reports.model.content import Report
from optbench.reports.model.figure import Figure
from optbench.reports.model.overview import Overview
from optbench.reports.model.rows import Picture
from optbench.reports.model.table import Table

ACROSS, OVERVIEW = "across", "overview"
FlatRow = Mapping[str, object]
Places = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures that tasks made of their runs."""

    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """Rows for the CSV file `name`, at full precision; made when they are asked for."""

    name: str
    rows: Callable[[], Iterable[FlatRow]]


Part = str | tuple[str, ...] | Table | Figure | Gallery
"""A paragraph, a list of sentences, or something to draw."""


@dataclass(frozen=True, slots=True)
class Section:
    """The content on one question. A section without parts is not shown, but its records are written."""

    key: str
    title: str
    """Empty in a chapter of one section."""
    parts: tuple[Part, ...] = ()
    records: tuple[Records, ...] = ()


@dataclass(frozen=True, slots=True)
class Chapter:
    """A workload, all workloads together, or what belongs to the whole report. One without parts is not shown."""

    key: str
    title: str
    sections: tuple[Section, ...]
    facts: str = ""
    answer: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures_start: str = ACROSS
    """Names of the chapter's figures are FIGURES_START-KEY."""
    labels: FlatRow = field(default_factory=dict)
    """Columns that start every row of the chapter's records."""

    @property
    def parts(self) -> Iterator[Part]:
        """The parts of all sections."""
        return (part for section in self.sections for part in section.parts)

    @property
    def figures(self) -> Iterator[tuple[str, Figure]]:
        """(name, figure): the name is that of its files, without an ending."""
        return ((self.name_of(part), part) for part in self.parts if isinstance(part, Figure))

    def name_of(self, figure: Figure) -> str:
        """Return the name of a figure's files, without an ending."""
        return f"{self.figures_start}-{figure.key}"


@dataclass(frozen=True, slots=True)
class Document:
    """A report in reading order."""

    report: Report
    overview: Overview
    """The first screen."""
    chapters: tuple[Chapter, ...]
    contenders: tuple[str, ...]
    """The contenders, sorted by name."""

    @property
    def figures(self) -> Iterator[tuple[str, Figure]]:
        """(name, figure) of the first screen and of every chapter."""
        if self.overview.figure:
            yield OVERVIEW, self.overview.figure
        yield from (found for chapter in self.chapters for found in chapter.figures)

    @property
    def places(self) -> Places:
        """Each contender's place by name. It gives the same colour in every output, whatever the results."""
        return {name: place for place, name in enumerate(self.contenders)}


def chapter(key: str, title: str, *parts: Part | None, records: tuple[Records, ...] = ()) -> Chapter:
    """Return a chapter of one section."""
    return Chapter(key, title, (Section("", "", present(*parts), records),))


def present(*parts: Part | None) -> tuple[Part, ...]:
    """Return the parts that have something to show."""
    return tuple(part for part in parts if part and not (isinstance(part, Table) and not part.rows))
