"""The runs of a published claim, read back from its runs.csv, with the study that they belong to.

The run folders are gone; what the table has is a row for each run, with the overrides that reproduce it. Cells, boxes
and the claim come from the study file. Columns that the table does not have are unknown (None): records of a run, so
that there are no curves, and the seconds of its phases.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from optbench.config.trees import assign, flatten, unflatten
from optbench.config.values import as_number
from optbench.errors import ConfigError
from optbench.reports.contenders import DONE, Contender, contenders_of
from optbench.reports.read.columns import COLUMNS, RunRow
from optbench.reports.read.reading import Results
from optbench.reports.read.run_rows import KNOWN_SCALES
from optbench.reports.read.study_file import CellEntry, StudyFile
from optbench.reproducing.publish import OPTIMIZER_SECONDS
from optbench.sweeps.study.edges import rising_edges, score_noise
from optbench.sweeps.study.shortlist import ScoredTrial

if TYPE_CHECKING:
    from optbench.sweeps.study.cells import Cell
    from optbench.sweeps.study.study import Study

TABLES = ("runs.csv", "runs.parquet")
NOT_STORED = ("optimizer_seconds",)
"""Measures whose numbers older tables of runs do not have."""


def stored_results(folder: Path, study: Study, cells: Sequence[Cell]) -> Results:
    """Return the runs of a published claim and their study. Raises ConfigError for a table that does not fit it."""
    file = next((folder / name for name in TABLES if (folder / name).is_file()), folder / TABLES[0])
    known = {cell.label: cell for cell in cells}
    rows = [row_of(number, values, study.name, known, file) for number, values in enumerate(lines_of(file))]
    if not rows:
        raise ConfigError(f"{file}: no runs in it")
    by_cell: dict[str, list[RunRow]] = {}
    for row in rows:
        by_cell.setdefault(row["cell"] or "", []).append(row)
    entries = [entry_of(known[label], study, runs) for label, runs in by_cell.items()]
    tree: StudyFile = {"settings": study.as_dict(), "cells": entries}
    return Results(folder, tuple(rows), {study.name: tree}, ())


def lines_of(file: Path) -> Iterator[Mapping[str, object]]:
    """Yield the lines of a table of runs."""
    try:
        if file.suffix == ".parquet":
            import polars as pl

            yield from pl.read_parquet(file).iter_rows(named=True)
            return
        with file.open(newline="", encoding="utf-8") as text:
            yield from csv.DictReader(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def row_of(number: int, values: Mapping[str, object], study: str, cells: Mapping[str, Cell], file: Path) -> RunRow:
    """Return one line as a row of the table of runs."""
    label = str(values.get("cell") or "")
    if label not in cells:
        raise ConfigError(f"{file}: the study has no cell '{label}' any more", f"Its cells: {', '.join(cells)}")
    try:
        known = {name: parsed(values.get(name, ""), kind) for name, (kind, _) in COLUMNS.items()}
        seconds = parsed(values.get(OPTIMIZER_SECONDS, ""), float)
    except ValueError as error:
        raise ConfigError(f"{file}: line {number + 2}: {error}") from None
    config = unflatten(flatten(cells[label].config.as_dict()))
    keys = [dimension.key for dimension in cells[label].box.dimensions]
    for key, value in words_of(known.get("overrides")).items():
        if key in keys:
            assign(config, key, value)
    row = dict.fromkeys(COLUMNS) | {"shared": False} | known
    row |= {"study": study, "run_id": f"stored-{number:05d}", "folder": "", "searched": keys}
    row |= {"config": json.dumps(config), "seconds": {"optimizer": seconds} if seconds else None}
    row["metric_scale"] = row["metric_scale"] or KNOWN_SCALES.get(str(row["metric"]))
    return cast("RunRow", row)


def parsed(value: object, kind: type) -> object:
    """Return a cell of the table as its column's type, None for an empty one. Raises ValueError."""
    if value == "":
        return None
    if kind is list:
        return shlex.split(str(value)) if isinstance(value, str) else value
    if not isinstance(value, str) or kind is str:
        return value
    if kind is bool:
        return value == "True"
    return kind(float(value)) if kind in (int, float) else None


def words_of(overrides: object) -> dict[str, object]:
    """Return the numbers among some overrides by their key."""
    pairs = (str(word).partition("=")[::2] for word in cast("Sequence[str]", overrides or ()))
    return {key: number for key, value in pairs if (number := as_number(value)) is not None}


def entry_of(cell: Cell, study: Study, runs: Sequence[RunRow]) -> CellEntry:
    """Return a cell of study.json: what it compares, its winner, and the edges of its box that this one lies on."""
    (contender,) = contenders_of(runs, {})
    entry: CellEntry = {
        "label": cell.label,
        "choices": list(cell.choices),
        "workload": list(cell.workload),
        "evaluations_per_step": cell.evaluations,
        "box_name": cell.box_name,
        "box": cell.box.as_dict(),
        "stage": DONE,
        "winner": contender.winner,
        "edges": [list(edge) for edge in edges_of(cell, study, contender, runs)],
    }
    return entry


def edges_of(cell: Cell, study: Study, contender: Contender, runs: Sequence[RunRow]) -> list[tuple[str, str]]:
    """Return the edges of the box that the winner lies on and the score still rises towards."""
    keys = {dimension.key for dimension in cell.box.dimensions}
    sign = -1.0 if any(run["direction"] == "min" for run in runs) else 1.0
    trials = list(trials_of(contender, sign))
    winner = next((trial for trial in trials if trial.number == contender.winner), None)
    if winner is None or any(keys - trial.values.keys() for trial in trials):
        return []
    groups = [*contender.tuning.values(), contender.finals]
    noise = score_noise([run["val"] for run in group if run["val"] is not None] for group in groups)
    return rising_edges(cell.box, winner, trials, study.trials, noise)


def trials_of(contender: Contender, sign: float) -> Iterable[ScoredTrial]:
    """Yield the trials of a contender; their scores are larger where they are better."""
    for number, runs in contender.tuning.items():
        score, settings = contender.score(number), contender.settings[number]
        values = {key: found for key, value in settings.items() if (found := as_number(value)) is not None}
        yield ScoredTrial(number, values, None if score is None else sign * score, len(runs))
