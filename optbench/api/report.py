"""`optbench.report`: which optimizer to use, and the evidence for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.api.words import check_texts, path_of, texts_of
from optbench.errors import nearest, path_errors
from optbench.reports.model.figure import Figure

if TYPE_CHECKING:
    import os

    import polars
    from matplotlib.figure import Figure as Drawn

    from optbench.reports.build.studies import StudyReport
    from optbench.reports.model.content import Report, Workload
    from optbench.reports.model.document import Document


class Figures(Mapping[str, "Drawn"]):
    """The figures of a report by the names of their files, as matplotlib draws them; each is drawn once.

    Where a report has one workload, a shorter name will do: "val-metric" for "mlp-digits-val-metric", and "curves" for
    the first figure of that section."""

    def __init__(self, document: Document) -> None:
        self._figures = dict(document.figures)
        self._places = document.places
        self._drawn: dict[str, Drawn] = {}
        self._short: dict[str, list[str]] = {}
        for chapter in document.chapters:
            for section in chapter.sections:
                names = [(part.key, chapter.name_of(part)) for part in section.parts if isinstance(part, Figure)]
                for key, name in dict([(section.key, names[0][1]), *names]).items() if names else ():
                    self._short.setdefault(key, []).append(name)

    def __getitem__(self, name: str) -> Drawn:
        from optbench.reports.render.figures import drawn

        whole = self._whole(name)
        if whole not in self._drawn:
            self._drawn[whole] = drawn(self._figures[whole], self._places)
        return self._drawn[whole]

    def _whole(self, name: str) -> str:
        found = [name] if name in self._figures else self._short.get(name, [])
        if len(found) == 1:
            return found[0]
        match = nearest(str(name), [*self._figures, *self._short])
        hint = f"did you mean {match}?" if match else f"choose from {', '.join(self._figures)}"
        raise KeyError(f"{name}: one of {', '.join(found)}" if found else f"{name}: no such figure; {hint}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"<figures: {', '.join(self)}>"


@dataclass(frozen=True, repr=False)
class ReportResult:
    """The report of one study."""

    made: StudyReport
    files: tuple[Path, ...] = ()
    """What was written."""

    @property
    def model(self) -> Report:
        """The content of the report, as report.json has it."""
        assert self.made.report is not None
        return self.made.report

    @property
    def answer(self) -> tuple[str, ...]:
        """The optimizer to use, and the certainty, in one or two sentences."""
        return self._document.overview.answer

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The results on each workload: rows of the leaderboard, verdicts, curves, costs."""
        return self.model.workloads

    @cached_property
    def _document(self) -> Document:
        from optbench.reports.model.chapters import document

        return document(self.model)

    @cached_property
    def figures(self) -> Figures:
        """The figures by name, as matplotlib Figures."""
        return Figures(self._document)

    @cached_property
    def tables(self) -> dict[str, polars.DataFrame]:
        """The tables by name: leaderboard, verdicts, runs, ...; a column of mixed types is text."""
        import polars as pl

        from optbench.reports.render.csv import tables

        return {
            name: pl.DataFrame(rows, infer_schema_length=None, strict=False)
            for name, rows in tables(self._document).items()
        }

    @property
    def markdown(self) -> str:
        """The report in Markdown, without its figures."""
        from optbench.reports.render.markdown import to_markdown

        return to_markdown(self._document, {})

    @property
    def html(self) -> str:
        """The whole report as a page that stands alone."""
        from optbench.reports.render.html.page import to_html

        assert self.made.results is not None
        return to_html(self._document, self.made.results.root)

    def __repr__(self) -> str:
        return f"<report of {self.made.name}: {' '.join(self.answer)}>"

    def __str__(self) -> str:
        from optbench.reports.build.studies import first_lines

        return "\n".join(first_lines([self.made]))

    def _repr_html_(self) -> str:
        from optbench.api.display import first_screen

        return str(first_screen(self._document, self.figures))


class Reports(Mapping[str, ReportResult]):
    """The reports of several studies by their names."""

    def __init__(self, made: Sequence[StudyReport], files: Sequence[Path]) -> None:
        self.made, self.files = tuple(made), tuple(files)
        self._reports = {one.name: ReportResult(one) for one in made if one.report}
        self.problems = {one.name: one.problem for one in made if not one.report}
        """Why a study has no report."""

    def __getitem__(self, name: str) -> ReportResult:
        return self._reports[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._reports)

    def __len__(self) -> int:
        return len(self._reports)

    def __repr__(self) -> str:
        return f"<reports of {', '.join(self)}>"

    def __str__(self) -> str:
        from optbench.reports.build.studies import first_lines

        return "\n".join(first_lines(self.made))

    def _repr_html_(self) -> str:
        from optbench.reports.build.studies import entries
        from optbench.reports.model.index import index_table
        from optbench.reports.render.html.table import html_table

        shown = index_table(entries(self.made), "md").shown_in("html")
        return str(html_table(shown, {})) if shown else ""


@path_errors()
def report(
    path: str | os.PathLike[str] | None = None,
    output: str | Path | None = None,
    *,
    margin: str | float = "1%",
    mix: str | Sequence[str] = (),
    reference: str = "adamw",
    level: float = 0.95,
    only: str | Sequence[str] = (),
) -> ReportResult | Reports:
    """Return the report of a study, like `optbench report`.

    `path`: a study by its name or folder, or what `optbench.sweep` returned. Of a results folder with several studies,
    return their reports by name. With `output`, write the files that the command writes into this folder. Raise
    NoResultsError if no run has ended."""
    from optbench.reports.build.options import options_of
    from optbench.reports.build.studies import build_studies, warn
    from optbench.reports.read.locate import located
    from optbench.reports.render.write import KINDS, check_kinds, write_studies

    kinds, folder = texts_of("only", only), path_of("output", output)
    check_kinds(kinds)
    check_texts(reference=reference)
    how = options_of(str(margin), texts_of("mix", mix), reference, level)
    made = build_studies(located(path_of("path", path)), how)
    warn(made)
    files = write_studies(made, folder, kinds or KINDS) if folder else []
    return ReportResult(made[0], tuple(files)) if len(made) == 1 else Reports(made, files)
