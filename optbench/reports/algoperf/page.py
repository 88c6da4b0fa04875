"""Scores as a page for repositories: README.md, scores.png, profiles.png and table.csv in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.errors import ConfigError
from optbench.files import read_text
from optbench.reports.algoperf.resampling import STUDIES, WORKLOADS
from optbench.reports.algoperf.score_table import Scored, ScoreTable, ranks_text
from optbench.reports.algoperf.words import COVERED, how_words, leave_one_out_words
from optbench.reports.model.document import FlatRow
from optbench.reports.model.table import Cell, Table, TableColumn, capital

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "README.md"
MARK = "<!-- written by optbench score; the next one overwrites it -->"


def write_page(table: ScoreTable, folder: Path, command: str, title: str) -> list[Path]:
    """Write the files of a scored table and return them. Raise ConfigError where README.md is another's, StorageError
    where the folder cannot be written."""
    from optbench.reports.algoperf.figures import profiles, scores
    from optbench.reports.render.csv import to_csv
    from optbench.reports.render.figures.style import style
    from optbench.reports.render.write import write_text
    from optbench.store import storage_errors

    page = folder / PAGE
    if page.exists() and MARK not in read_text(page):
        raise ConfigError(f"{page} was not written by optbench score", "Give another folder to --output")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with style():
        figures = {"scores": scores(table), "profiles": profiles(table)}
        drawn = [picture(figure, folder / f"{name}.png") for name, figure in figures.items()]
    rows = to_csv([flat(row) for row in table.rows])
    return [write_text(page, to_page(table, command, title)), *drawn, write_text(folder / "table.csv", rows)]


def picture(figure: Figure, path: Path) -> Path:
    """Write one figure."""
    from optbench.reports.render.figures.style import save
    from optbench.store import write_atomically

    write_atomically(path, lambda out: save(figure, out, "png"))
    return path


def flat(row: Scored) -> FlatRow:
    """Return a row of table.csv."""
    found: dict[str, object] = {"submission": row.submission, "score": row.score, "rank": row.rank}
    for kind, spread in row.spreads.items():
        for name, ends in (("score", spread.score), ("rank", spread.rank)):
            found |= {f"{kind}_{name}_low": ends[0], f"{kind}_{name}_high": ends[1]}
        found[f"{kind}_first"] = spread.first
    return found | {"reached": row.solved, "workloads": row.of, "mean_rank": row.mean_rank, "speed_up": row.speed_up}


def to_page(table: ScoreTable, command: str, title: str) -> str:
    """Return the page in Markdown."""
    from optbench.reports.render.markdown import bullets, code, text
    from optbench.reports.render.markdown import table as written

    heading, *source = table.source or (title,)
    parts = [
        f"{MARK}\n\n# {text(heading)}",
        bullets(f"**{text(line)}**" for line in answer(table)),
        "![Scores with their intervals](scores.png)",
        *list(written(scores_table(table)))[1:],
        "![Performance profiles](profiles.png)",
        "## How to read it",
        bullets(text(line) for line in reading(table)),
        "## Where it is from",
        bullets(text(capital(line)) for line in (*source, *table.notes)),
        f"{text('Made by')}\n\n{code(command)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def answer(table: ScoreTable) -> Iterator[str]:
    """Yield who is first, how surely, and on which workload that depends."""
    best = table.rows[0]
    yield f"{best.submission} is first with a score of {best.score:.4f}."
    for kind, spread in best.spreads.items():
        rivals = sum(row.spreads[kind].rank[0] == 1 for row in table.rows[1:])
        yield (
            f"Drawing {DRAWN[kind]} anew, it is first in {spread.first:.0%} of the tables; "
            f"{rivals} others may be first too: their rank's interval starts at 1."
        )
    for line in leave_one_out_words(table):
        yield f"{capital(line)}."


DRAWN = {STUDIES: "the studies", WORKLOADS: "the workloads"}


def scores_table(table: ScoreTable) -> Table:
    """Return the table of the page."""
    kinds = list(table.rows[0].spreads)
    columns = [TableColumn("submission"), TableColumn("score", "number"), TableColumn("reached")]
    for kind in kinds:
        columns += [TableColumn(f"{table.level:.0%}", group=kind), TableColumn("rank", group=kind)]
        columns += [TableColumn("first", group=kind)]
    return Table("Scores", tuple(columns), tuple(tuple(cells(row, kinds)) for row in table.rows))


def cells(row: Scored, kinds: list[str]) -> Iterator[Cell]:
    """Yield the cells of one submission."""
    yield from (row.submission, f"{row.score:.4f}", f"{row.solved}/{row.of}")
    for spread in (row.spreads[kind] for kind in kinds):
        yield from ("{:.2f} to {:.2f}".format(*spread.score), ranks_text(spread), f"{spread.first:.0%}")


def reading(table: ScoreTable) -> Iterator[str]:
    """Yield what the numbers are, and what they don't say."""
    for line in how_words(table):
        yield f"{capital(line)}."
    kinds = table.rows[0].spreads
    yield from (COVERED[kind] for kind in kinds)
    if STUDIES in kinds:
        yield "Two submissions whose ranks over studies don't overlap are likely to differ on these workloads."
    if WORKLOADS in kinds:
        yield "Where ranks over workloads overlap, don't conclude that one is better on other workloads."
