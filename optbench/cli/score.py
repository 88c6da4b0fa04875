"""`optbench score`: any benchmark's times to target; `optbench import algoperf`: its log folders as such a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.cli.run import Emit, Notice
from optbench.errors import ConfigError, suggest

if TYPE_CHECKING:
    from optbench.reports.statistics.score_table import ScoreTable


def score(
    path: Path, *, trapezoid: bool, r_max: float, reference: str | None, as_json: bool, notice: Notice, emit: Emit
) -> None:
    """`optbench score TABLE.csv`."""
    from optbench.cli.tables import table
    from optbench.reports.algoperf.timetable import read_table
    from optbench.reports.render.write import plain
    from optbench.reports.statistics.score_table import score_table

    if not (math.isfinite(r_max) and r_max > 1):
        raise ConfigError(f"--r-max {r_max:g}: expected a ratio above 1")
    read = read_table(path)
    check_reference(reference, list(read.studies))
    for line in read.notes:
        notice(line)
    found = score_table(read, trapezoid=trapezoid, r_max=r_max, reference=reference)

    def shown() -> None:
        table("", rows_of(found, reference))
        print("\n".join(words_of(found, reference)))

    emit(as_json, plain(found), shown)


def check_reference(name: str | None, known: Sequence[str]) -> None:
    """ConfigError for a reference that is not in the table."""
    if name is None or name in known:
        return
    raise ConfigError(f"--reference {name}: not in the table", suggest(name, known))


def rows_of(found: ScoreTable, reference: str | None) -> list[dict[str, Any]]:
    """The table for people, best first; columns without any number are left out."""
    rows: list[dict[str, Any]] = []
    for row in found.rows:
        line: dict[str, Any] = {"submission": row.submission, "score": f"{row.score.value:.4f}"}
        if row.first is not None:
            line["interval"] = f"[{row.score.low:.3f}, {row.score.high:.3f}]"
            line["first"] = f"{row.first:.0%}"
        line |= {"reached": f"{row.solved}/{row.of}", "mean rank": f"{row.mean_rank:.2f}"}
        if reference is not None:
            line[f"speed-up over {reference}"] = "-" if row.speed_up is None else f"{row.speed_up:.3f}"
        rows.append(line)
    return rows


def words_of(found: ScoreTable, reference: str | None) -> list[str]:
    """What the scores are made of, and which workload decides who is first."""
    how = "AlgoPerf's 100-point trapezoid" if found.trapezoid else "the exact integral"
    lines = [
        f"score: mean share of {len(found.workloads)} workloads reached within tau times the fastest, "
        f"tau from 1 to {found.r_max:g}, by {how}"
    ]
    if found.held_out:
        pairs = ", ".join(f"{base} ({', '.join(own)})" for base, own in sorted(found.held_out.items()))
        lines.append(f"held out: a workload counts only where its variant is reached too: {pairs}")
    if reference is not None:
        lines.append("speed-up: geometric mean, of those workloads alone that both have reached")
    lines += leave_one_out_words(found)
    if found.rows[0].first is not None:
        lines.append(
            f"interval and first: of studies drawn with replacement, {found.level:.0%}; few studies: too narrow"
        )
    return lines


def leave_one_out_words(found: ScoreTable) -> list[str]:
    """Without which workload another one would be first; a tie with the best changes nothing."""
    best = found.rows[0].submission
    lines = []
    for row in found.leave_one_out:
        scores = {name: value or 0.0 for name, value in zip(row.order, row.values, strict=True)}
        first = row.order[0]
        if scores[first] > scores[best]:
            against = f"{scores[first]:.3f} against {scores[best]:.3f} of {best}"
            lines.append(f"without {row.without}: {first} is first ({against})")
    if found.leave_one_out and not lines and len(found.rows) > 1:
        lines.append(f"{best} stays first without any one workload")
    return lines


def import_algoperf(
    folder: Path, *, output: Path | None, targets: Path | None, as_json: bool, notice: Notice, emit: Emit
) -> None:
    """`optbench import algoperf DIR`: the table on stdout, or in a file."""
    from optbench.reports.algoperf.logs import import_logs, read_targets, to_table
    from optbench.reports.render.write import write_text

    found = import_logs(folder, read_targets(targets))
    for path, why in found.skipped:
        notice(f"left out: {path}: {why}")
    for path, what in found.notes:
        notice(f"{path}: {what}")
    text = to_table(found)
    if output is not None:
        write_text(output, text)
    trials = len(found.rows)
    reached = sum(math.isfinite(row[4]) for row in found.rows)
    tree = {"trials": trials, "reached": reached, "skipped": found.skipped, "notes": found.notes}
    tree |= {"table": str(output) if output else None}
    names = ("submission", "workload", "study", "trial", "seconds")
    rows = [dict(zip(names, (*row[:4], row[4] if math.isfinite(row[4]) else None), strict=True)) for row in found.rows]

    def shown() -> None:
        if output is None:
            print(text, end="")
        else:
            print(f"{trials} trials, {reached} reached their target: {output}\noptbench score {output}")

    emit(as_json, tree | {"rows": rows}, shown)
