"""Sentences on a scored table."""

from __future__ import annotations

from collections.abc import Iterator

from optbench.reports.algoperf.resampling import LEAST_WORKLOADS, STUDIES, WORKLOADS
from optbench.reports.algoperf.score_table import ScoreTable

COVERED = {
    STUDIES: (
        "Intervals over studies: where the mean score of reruns lies, with these workloads and as many studies each. "
        "Studies are drawn around each median with the spread of all submissions on the workload; a target that no "
        "study reached stays unreached. They say nothing of other workloads."
    ),
    WORKLOADS: (
        "Intervals over workloads: where the score on other workloads of this kind lies. Workloads are drawn with "
        "replacement, and repeated studies anew."
    ),
}


def how_words(table: ScoreTable) -> Iterator[str]:
    """Yield how the scores were computed."""
    how = "AlgoPerf's 100-point trapezoid" if table.trapezoid else "the exact integral"
    yield (
        f"score: mean share of {len(table.workloads)} workloads reached within tau times the fastest, "
        f"tau from 1 to {table.r_max:g}, by {how}"
    )
    if table.held_out:
        pairs = ", ".join(f"{base} ({', '.join(own)})" for base, own in sorted(table.held_out.items()))
        yield f"held out: a workload counts only where its variant is reached too: {pairs}"


def leave_one_out_words(table: ScoreTable) -> list[str]:
    """Return the workloads without which another submission would be first. A tie with the best doesn't count."""
    best = table.rows[0].submission
    lines = []
    for row in table.leave_one_out:
        scores = {name: value or 0.0 for name, value in zip(row.order, row.values, strict=True)}
        first = row.order[0]
        if scores[first] > scores[best]:
            against = f"{scores[first]:.3f} against {scores[best]:.3f} of {best}"
            lines.append(f"without {row.without}: {first} is first ({against})")
    alone = len(table.rows) > 1 and table.rows[0].score > table.rows[1].score
    if table.leave_one_out and not lines and alone:
        lines.append(f"{best} stays first without any one workload")
    return lines


def absent_words(table: ScoreTable, kind: str) -> str:
    """Return why there is no interval of a kind; empty if there is one."""
    if kind in table.rows[0].spreads:
        return ""
    if kind == STUDIES:
        return "no interval over studies: none was repeated"
    return f"no interval over workloads: it needs {LEAST_WORKLOADS}, the table has {len(table.workloads)}"
