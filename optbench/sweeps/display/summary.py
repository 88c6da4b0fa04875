"""What a sweep came to: a row for every cell. Comparisons with their statistics are the report's."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from optbench.sweeps.display.live import statuses
from optbench.sweeps.scheduler.cell_progress import Course
from optbench.sweeps.scheduler.scheduler import Conductor
from optbench.sweeps.study.outcomes import PRUNED, Outcome


def tree_of(conductor: Conductor) -> dict[str, Any]:
    """The state of a study for machines."""
    study, outcomes = conductor.study, conductor.outcomes
    planned = {run.run_id for run in conductor.planned_runs}
    return {
        "study": study.name,
        "folder": str(conductor.folder),
        "protocol": study.protocol,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "trials": study.trials,
        "tune_seeds": study.tune_seeds,
        "seeds": study.seeds,
        "runs": {"planned": len(planned), "ran": conductor.ran, "found": conductor.found},
        "statuses": statuses({i: o for i, o in outcomes.items() if i in planned}),
        "resumed": sum(bool(o.resumed_from) for i, o in outcomes.items() if i in planned),
        "cells": [cell_tree(course, outcomes) for course in conductor.courses.courses],
    }


def cell_tree(course: Course, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """One cell: its tuning, its winner and its final runs."""
    tuning = [outcomes[r.run_id] for t in course.trials for r in t.runs if r.run_id in outcomes]
    finals = [outcomes[r.run_id] for r in course.finals if r.run_id in outcomes]
    winner = course.winner
    known = [o for o in (*tuning, *finals) if o.metric]
    sign = -1.0 if known and known[0].direction == "min" else 1.0
    return {
        "cell": course.cell.label,
        "metric": known[0].metric if known else None,
        "direction": known[0].direction if known else None,
        "steps": course.cell.config.steps,
        "evaluated_samples": course.cell.evaluated_samples,
        "box": course.box.as_dict(),
        "trials": len(course.trials),
        "failed": sum(not o.succeeded and o.status != PRUNED for o in (*tuning, *finals)),
        "pruned": sum(o.status == PRUNED for o in tuning),
        "best": dict(winner.values) if winner else None,
        "tune_score": winner.score * sign or 0.0 if winner and winner.score is not None else None,
        "edges": [list(edge) for edge in course.edges()],
        "final_val": spread([o.val for o in finals if o.succeeded]),
        "final_test": spread([o.test for o in finals if o.succeeded]),
    }


def spread(values: list[float | None]) -> dict[str, Any] | None:
    """How many values, their mean, half its 95 % interval by Student's t, the least, the greatest and the values."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = statistics.fmean(known)
    half = None
    if len(known) > 1:
        from scipy.special import stdtrit

        half = float(stdtrit(len(known) - 1, 0.975)) * statistics.stdev(known) / len(known) ** 0.5
    return {"n": len(known), "mean": mean, "half_width": half, "min": min(known), "max": max(known), "values": known}


def rows(tree: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table for people."""
    return [row(cell) for cell in tree["cells"]]


def row(cell: Mapping[str, Any]) -> dict[str, str]:
    """One cell."""
    metric = cell["metric"] or "-"
    pruned = f", {cell['pruned']} pruned" if cell["pruned"] else ""
    failed = f", {cell['failed']} failed" if cell["failed"] else ""
    edges = dict(cell["edges"])
    chosen = ", ".join(
        f"{key.partition('.')[2]}={value:.4g}{' (' + edges[key] + ' edge)' if key in edges else ''}"
        if isinstance(value, (int, float))
        else f"{key}={value}"
        for key, value in (cell["best"] or {}).items()
    )
    return {
        "cell": cell["cell"],
        "trials": f"{cell['trials']}{pruned}{failed}",
        "best found": chosen or "-",
        "metric": metric,
        "tuning, validation": number(cell["tune_score"]),
        "final, validation": spread_words(cell["final_val"]),
        "final, test": spread_words(cell["final_test"]),
    }


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def spread_words(found: Mapping[str, Any] | None) -> str:
    """Mean, half width of the interval, and n."""
    if found is None:
        return "-"
    half = f" ± {found['half_width']:.2g}" if found["half_width"] is not None else ""
    return f"{found['mean']:.4g}{half} (n={found['n']})"
