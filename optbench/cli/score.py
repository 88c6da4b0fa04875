"""`optbench score`: any benchmark's times to target; `optbench import algoperf`: its log folders as such a table."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output, print_lines
from optbench.errors import ConfigError, suggest

R_MAX = 4.0
COLUMNS = ("submission", "workload", "study", "trial", "seconds")

if TYPE_CHECKING:
    from optbench.reports.algoperf.logs import ImportedLogs
    from optbench.reports.algoperf.score_table import ScoreTable

log = logging.getLogger(__name__)


def score(
    path: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="Seconds to target as CSV: wide (submission, WORKLOAD...) or long"),
    ],
    trapezoid: Annotated[
        bool, typer.Option("--trapezoid", help="AlgoPerf's 100-point sum instead of the exact integral.")
    ] = False,
    r_max: Annotated[float, typer.Option(help="Ratio to the fastest from which the score is zero")] = R_MAX,
    reference: Annotated[str | None, typer.Option(help="Submission that speed-ups are relative to")] = None,
    resample: Annotated[str, typer.Option(help="What printed intervals cover: studies or workloads")] = "studies",
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for README.md, scores.png, profiles.png, table.csv.")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Score any benchmark's times to target: optbench score TABLE.csv

    A workload whose name extends another's by _... is its held-out variant; empty or inf: not reached."""
    from optbench.cli.tables import table
    from optbench.reports.algoperf.page import write_page
    from optbench.reports.algoperf.resampling import RESAMPLES
    from optbench.reports.algoperf.score_table import score_table
    from optbench.reports.algoperf.timetable import read_table
    from optbench.reports.render.write import plain

    output = Output(as_json)
    if not (math.isfinite(r_max) and r_max > 1):
        raise ConfigError(f"--r-max {r_max:g}: expected a ratio above 1")
    if resample not in RESAMPLES:
        raise ConfigError(f"--resample {resample}: choose from {', '.join(RESAMPLES)}")
    read = read_table(path)
    check_reference(reference, list(read.studies))
    for line in read.notes:
        log.warning(line)
    found = score_table(read, trapezoid=trapezoid, r_max=r_max, reference=reference)
    words = words_of(found, reference, resample)
    if folder is not None:
        command = command_of(path, folder, trapezoid, r_max, reference)
        words.append(f"written: {', '.join(map(str, write_page(found, folder, command, f'Scores of {path.name}')))}")
    output.answer(plain(found), lambda: (table("", rows_of(found, reference, resample)), print_lines(words)))


def command_of(path: Path, folder: Path, trapezoid: bool, r_max: float, reference: str | None) -> str:
    """Return the command that writes the same page."""
    words = ["optbench", "score", str(path), *(["--trapezoid"] if trapezoid else [])]
    words += [] if r_max == R_MAX else ["--r-max", f"{r_max:g}"]
    words += [] if reference is None else ["--reference", reference]
    return shlex.join([*words, "-o", str(folder)])


def check_reference(name: str | None, known: Sequence[str]) -> None:
    """Raise ConfigError if the reference is not in the table."""
    if name is None or name in known:
        return
    raise ConfigError(f"--reference {name}: not in the table", suggest(name, known))


def rows_of(found: ScoreTable, reference: str | None, resample: str) -> list[dict[str, Any]]:
    """Return the rows to print, best first, without empty columns."""
    from optbench.reports.algoperf.score_table import ranks_text

    rows: list[dict[str, Any]] = []
    for row in found.rows:
        line: dict[str, Any] = {"submission": row.submission, "score": f"{row.score:.4f}"}
        if spread := row.spreads.get(resample):
            low, high = spread.score
            line["interval"] = f"[{low:.3f}, {high:.3f}]"
            line[f"rank {found.level:.0%}"] = ranks_text(spread)
            line["first"] = f"{spread.first:.0%}"
        line |= {"reached": f"{row.solved}/{row.of}", "mean rank": f"{row.mean_rank:.2f}"}
        if reference is not None:
            line[f"speed-up over {reference}"] = "-" if row.speed_up is None else f"{row.speed_up:.3f}"
        rows.append(line)
    return rows


def words_of(found: ScoreTable, reference: str | None, resample: str) -> list[str]:
    """Return how scores were computed, whether one workload alone decides who is first, and what intervals cover."""
    from optbench.reports.algoperf.resampling import RESAMPLES
    from optbench.reports.algoperf.words import COVERED, absent_words, how_words, leave_one_out_words

    lines = list(how_words(found))
    if reference is not None:
        lines.append("speed-up: geometric mean over the workloads that both reached")
    lines += leave_one_out_words(found)
    other = next(kind for kind in RESAMPLES if kind != resample)
    known = other in found.rows[0].spreads
    lines.append(absent_words(found, resample) or COVERED[resample])
    return [*lines, f"For intervals over {other}: --resample {other}"] if known else lines


def algoperf(
    folder: Annotated[Path, typer.Argument(help="SUBMISSION/study_N/WORKLOAD_FRAMEWORK/trial_M/eval_measurements.csv")],
    file: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file instead of stdout.")] = None,
    targets: Annotated[
        Path | None, typer.Option(help="YAML of further targets: WORKLOAD: {metric, value, direction}")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Turn AlgoPerf's published log folders into a table for `optbench score`."""
    from optbench.reports.algoperf.logs import import_logs, read_targets
    from optbench.reports.render.write import write_text

    output = Output(as_json)
    found = import_logs(folder, read_targets(targets))
    for path, why in found.skipped:
        log.warning(f"left out: {path}: {why}")
    for path, what in found.notes:
        log.warning(f"{path}: {what}")
    text = to_table(found)
    if file is not None:
        write_text(file, text)
    trials = len(found.rows)
    reached = sum(math.isfinite(row[4]) for row in found.rows)
    rows = [
        dict(zip(COLUMNS, (*row[:4], row[4] if math.isfinite(row[4]) else None), strict=True)) for row in found.rows
    ]
    tree = {"trials": trials, "reached": reached, "skipped": found.skipped, "notes": found.notes}
    tree |= {"table": str(file) if file else None, "rows": rows}
    summary = [f"{trials} trials, {reached} reached their target: {file}", f"optbench score {file}"]
    output.answer(tree, lambda: print(text, end="") if file is None else print_lines(summary))


def to_table(logs: ImportedLogs) -> str:
    """Return the trials of imported logs as CSV text."""
    from optbench.reports.render.csv import to_csv

    return to_csv([dict(zip(COLUMNS, row, strict=True)) for row in logs.rows])
