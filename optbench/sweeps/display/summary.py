"""The result of a sweep: one row per cell. The report compares the cells statistically."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from optbench.config.trees import short_key
from optbench.sweeps.scheduler.cell_progress import CellProgress
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.study.outcomes import PRUNED, Outcome, count_failures, status_counts


def summary_of(scheduler: Scheduler) -> dict[str, Any]:
    """Return the state of a study as plain data."""
    study, outcomes = scheduler.study, scheduler.outcomes
    planned = {run.run_id for run in scheduler.planned_runs}
    ended = [outcome for run_id, outcome in outcomes.items() if run_id in planned]
    return {
        "study": study.name,
        "folder": str(scheduler.folder),
        "protocol": study.protocol,
        "sampler": study.sampler,
        "pruner": study.pruner,
        "trials": study.trials,
        "tune_seeds": study.tune_seeds,
        "shortlist": study.shortlisted,
        "shortlist_seeds": study.shortlist_seeds,
        "seeds": study.seeds,
        "runs": {"planned": len(planned), "ran": scheduler.ran, "found": scheduler.found},
        "statuses": status_counts(ended),
        "resumed": sum(bool(outcome.resumed_from) for outcome in ended),
        "cells": [cell_summary(cell, outcomes) for cell in scheduler.progress.cells],
    }


def cell_summary(progress: CellProgress, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Return one cell: its tuning, its winner and its final runs."""
    tuning = [outcomes[r.run_id] for t in progress.trials for r in t.runs if r.run_id in outcomes]
    finals = [outcomes[r.run_id] for r in progress.finals if r.run_id in outcomes]
    winner = progress.winner
    measured = next((o for o in (*tuning, *finals) if o.metric), None)
    unread = {key for outcome in (*tuning, *finals) for key in outcome.unread}
    sign = -1.0 if measured and measured.direction == "min" else 1.0
    return {
        "cell": progress.cell.label,
        "given": list(progress.cell.given),
        "metric": measured.metric if measured else None,
        "direction": measured.direction if measured else None,
        "steps": None if "steps" in unread else progress.cell.config.steps,
        "evaluated_samples": None if unread else progress.cell.evaluated_samples,
        "box_name": progress.cell.box_name,
        "box": progress.box.as_dict(),
        "trials": len(progress.trials),
        "failed": count_failures([*tuning, *finals]),
        "pruned": sum(o.status == PRUNED for o in tuning),
        "best": dict(winner.values) if winner else None,
        "tune_score": winner.score * sign or 0.0 if winner and winner.score is not None else None,
        "edges": [list(edge) for edge in progress.edges()],
        "final_val": spread([o.val for o in finals if o.succeeded]),
        "final_test": spread([o.test for o in finals if o.succeeded]),
    }


def spread(values: list[float | None]) -> dict[str, Any] | None:
    """Return n, mean, half width of the 95 % interval by Student's t, least, greatest and all of the values."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = statistics.fmean(known)
    half = None
    if len(known) > 1:
        from scipy.special import stdtrit

        half = float(stdtrit(len(known) - 1, 0.975)) * statistics.stdev(known) / len(known) ** 0.5
    return {"n": len(known), "mean": mean, "half_width": half, "min": min(known), "max": max(known), "values": known}


def table_row(cell: Mapping[str, Any]) -> dict[str, str]:
    """Return the row of a cell in the table for people."""
    pruned = f", {cell['pruned']} pruned" if cell["pruned"] else ""
    failed = f", {cell['failed']} failed" if cell["failed"] else ""
    edges = dict(cell["edges"])
    best = ", ".join(
        f"{short_key(key)}={value:.4g}{' (' + edges[key] + ' edge)' if key in edges else ''}"
        if isinstance(value, (int, float))
        else f"{short_key(key)}={value}"
        for key, value in (cell["best"] or {}).items()
    )
    return {
        "cell": cell["cell"],
        "trials": f"{cell['trials']}{pruned}{failed}",
        "best found": best or "-",
        "metric": cell["metric"] or "-",
        "tuning, validation": "-" if cell["tune_score"] is None else f"{cell['tune_score']:.4g}",
        "final, validation": spread_text(cell["final_val"]),
        "final, test": spread_text(cell["final_test"]),
    }


def spread_text(found: Mapping[str, Any] | None) -> str:
    """Return mean, half width of the interval, and n."""
    if found is None:
        return "-"
    half = f" ± {found['half_width']:.2g}" if found["half_width"] is not None else ""
    return f"{found['mean']:.4g}{half} (n={found['n']})"


def note_lines(tree: Mapping[str, Any]) -> list[str]:
    """Return the lines below the table: runs, tuning, budget, what some cell alone was given, the folder, what next."""
    counts = ", ".join(f"{count} {status}" for status, count in tree["statuses"].items())
    first = (
        f"{tree['runs']['planned']} runs ({counts}), {tree['runs']['ran']} of them now; {tuning_text(tree)}, "
        f"{budget_text(tree['cells'])}; 95 % intervals over final seeds"
    )
    ends = [f"results  {tree['folder']}", f"next     {shlex.join(['optbench', 'report', str(tree['folder'])])}"]
    return [first, *given_lines(tree["cells"]), *ends]


def budget_text(cells: Sequence[Mapping[str, Any]]) -> str:
    """Return the budget of a run, as far as it is known: a training script may go by one of its own."""
    if any(cell["steps"] is None for cell in cells):
        return "as many steps a run as the script takes: it does not read the budget"
    samples = [cell["evaluated_samples"] for cell in cells if cell["evaluated_samples"] is not None]
    known = samples if len(samples) == len(cells) else [cell["steps"] for cell in cells]
    budgets, what = sorted({round(n) for n in known}), "samples through gradient evaluations"
    listed = " or ".join(f"{n:,}" for n in budgets) if len(budgets) < 4 else f"{len(budgets)} budgets of"
    return f"{listed} {what if known is samples else 'steps'} a run"


def tuning_text(tree: Mapping[str, Any]) -> str:
    """Return how the cells of a study were tuned."""
    kinds = {"auto": "grid or Sobol"}
    more = f", the best {tree['shortlist']} on {tree['shortlist_seeds']} more seeds" if tree["shortlist"] else ""
    pruned = f"; pruner {tree['pruner']} (tuning only)" if tree["pruner"] != "none" else ""
    return f"tuned by {tree['trials']} {kinds.get(tree['sampler'], tree['sampler'])} points{more}{pruned}"


def given_lines(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what some cell alone was given, a line each."""
    return [f"{cell['cell']} alone has {', '.join(cell['given'])}" for cell in cells if cell["given"]]
