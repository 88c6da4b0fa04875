"""The sections of a workload beside the leaderboard and the verdicts: which measure gets which runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optbench.reports.contenders import (
    HEADLINES,
    OPEN,
    PRUNED,
    Contender,
    contenders_of,
    samples_of,
    steps_of,
    succeeded,
)
from optbench.reports.model.content import (
    BudgetCurve,
    LadderStep,
    ParetoPoint,
    Picture,
    Resources,
    Sensitivity,
    Stability,
    ToTarget,
)
from optbench.reports.rate_sensitivity import learning_rate_key, sensitivity_of
from optbench.reports.read.columns import RunRow, number_in
from optbench.reports.read.series import RunSeries
from optbench.reports.read.study_file import Cells
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.statistics.measures.expected_best import budget_curve
from optbench.reports.statistics.measures.pareto import pareto
from optbench.reports.statistics.measures.resources import resources
from optbench.reports.statistics.measures.stability import stability
from optbench.reports.statistics.measures.to_target import Cost, complete, first_passing, passing, reaches

Ladder = Mapping[float, Mapping[str, Contender]]
"""Contenders by name, at each budget."""


@dataclass(frozen=True)
class Costs:
    """The cost of the contenders' runs, and the trade-off with quality."""

    resources: tuple[Resources, ...]
    reference: str
    pareto: tuple[ParetoPoint, ...]


def tuning_sections(
    contenders: Sequence[Contender], direction: str, headline: str, level: float, *, times: bool
) -> tuple[tuple[BudgetCurve, ...], tuple[Sensitivity, ...]]:
    """Return what tuning shows: the best against the number of trials, and the cost of a wrong learning rate."""
    curves, sensitivities = [], []
    for contender in contenders:
        if not contender.tuning:
            continue
        curves.append(with_costs(contender, direction, headline, level, times))
        key = learning_rate_key(contender.searched)
        if key is not None:
            sensitivities.append(sensitivity_of(contender, key, direction, level))
    return tuple(curves), tuple(sensitivities)


def with_costs(contender: Contender, direction: str, headline: str, level: float, times: bool) -> BudgetCurve:
    """Return the best to expect from a contender's trials, with what a trial and a final run cost."""
    tried = [run for trial in sorted(contender.tuning) for run in contender.tuning[trial]]
    each = len(tried) / len(contender.tuning)
    spent = evaluated_of(tried)
    column = HEADLINES[headline]
    others = [mean_of_trial(contender.tuning[trial], column) for trial in contender.points]
    curve = budget_curve(contender.name, contender.scores(), direction, level, spent * each if spent else None, others)
    seconds = [run["train_seconds"] for run in tried if run["train_seconds"] is not None]
    return replace(
        curve,
        final_samples=evaluated_of(contender.finals),
        trial_seconds=each * statistics.fmean(seconds) if times and seconds else None,
        final_seconds=mean(contender.values("train_seconds")) if times else None,
    )


def evaluated_of(runs: Sequence[RunRow]) -> float | None:
    """Return the samples through gradient evaluations of one whole run; None if unknown."""
    known = [run for run in runs if "batch_size" not in (run["unread"] or ())]
    used = [run["gradient_evaluations"] * run["batch_size"] for run in known if run["gradient_evaluations"]]
    return max(used, default=None)


def mean_of_trial(runs: Sequence[RunRow], column: str) -> float | None:
    """Return the mean of a column over a trial's runs; None where one has none."""
    values = [number_in(run, column) for run in runs]
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def target_section(
    contenders: Sequence[Contender],
    ladder: Ladder,
    evaluated: Mapping[str, RunSeries],
    target: float | None,
    direction: str,
    level: float,
    *,
    times: bool,
) -> tuple[ToTarget, ...]:
    """Return what it took each contender to reach the target, by complete schedules and inside runs."""
    if target is None:
        return ()
    found = []
    for contender in contenders:
        steps = {
            budget: [cost_at_end(run, target, direction, times) for run in there[contender.name].finals]
            for budget, there in ladder.items()
            if contender.name in there
        }
        found.append(complete(contender.name, steps, level))
    for contender in contenders:
        costs = [
            cost_at_passing(run, evaluated.get(run["run_id"]), target, direction, times) for run in contender.finals
        ]
        found.append(passing(contender.name, costs, level))
    return tuple(found)


def cost_at_end(run: RunRow, target: float, direction: str, times: bool) -> Cost | None:
    """Return what a run used to the end of its schedule, None if it did not end at the target."""
    if not succeeded(run) or not reaches(run["val"], target, direction):
        return None
    flops, steps = run["flops_per_step"], steps_of(run)
    return Cost(
        steps=steps,
        samples=samples_of(run),
        train_seconds=run["train_seconds"] if times else None,
        wall_seconds=run["wall_seconds"] if times else None,
        flops=flops * steps if flops and steps else None,
    )


def cost_at_passing(
    run: RunRow, evaluated: RunSeries | None, target: float, direction: str, times: bool
) -> Cost | None:
    """Return what a run had used at its first evaluation at the target, None if there is none."""
    if evaluated is None:
        return None
    index = first_passing(evaluated.value.tolist(), target, direction)
    if index is None:
        return None
    flops, step = run["flops_per_step"], int(evaluated.step[index])
    return Cost(
        steps=step,
        samples=int(samples) if math.isfinite(samples := evaluated.samples[index]) else None,
        train_seconds=float(evaluated.train_seconds[index]) if times else None,
        wall_seconds=float(evaluated.wall_seconds[index]) if times else None,
        flops=flops * step if flops else None,
    )


def ladder_of(runs: Sequence[RunRow], cells: Cells) -> dict[float, dict[str, Contender]]:
    """Return the contenders at each budget."""
    budgets = sorted({run["budget"] or 1.0 for run in runs})
    return {
        budget: {c.name: c for c in contenders_of([r for r in runs if (r["budget"] or 1.0) == budget], cells)}
        for budget in budgets
    }


def ladder_section(contenders: Sequence[Contender], ladder: Ladder, level: float) -> tuple[LadderStep, ...]:
    """Return the headline at each budget; empty for a single budget, and for scripts that do not say their steps."""
    if len(ladder) < 2:
        return ()
    return tuple(
        LadderStep(
            contender=contender.name,
            budget=budget,
            steps=steps,
            test=mean_interval(there[contender.name].values("test"), level),
            val=mean_interval(there[contender.name].values("val"), level),
        )
        for contender in contenders
        for budget, there in ladder.items()
        if contender.name in there and there[contender.name].finals
        if (steps := steps_of(there[contender.name].finals[0])) is not None
    )


def stability_section(
    contenders: Sequence[Contender], losses: Mapping[str, RunSeries], level: float
) -> tuple[Stability, ...]:
    """Return failures of the tuning runs (of the final ones if nothing was tuned) and spikes of the final ones."""
    found = []
    for contender in contenders:
        tried = [run for runs in contender.tuning.values() for run in runs] or contender.finals
        ended = [run for run in tried if run["status"] not in (OPEN, PRUNED)]
        series = [losses[run["run_id"]].value.tolist() for run in contender.finals if run["run_id"] in losses]
        found.append(stability(contender.name, [not succeeded(run) for run in ended], series, level))
    return tuple(found)


def costs_of(
    contenders: Sequence[Contender], headline: str, direction: str, reference: str, level: float, *, times: bool
) -> Costs:
    """Return resources relative to the reference's, and the Pareto front."""
    against = next((c for c in contenders if c.name == reference), contenders[0])
    rows = tuple(resources(c.name, c.succeeded, against.succeeded, level, times=times) for c in contenders)
    points = [
        (
            contender.name,
            mean(contender.values(HEADLINES[headline])),
            mean(contender.values("train_seconds")) if times else None,
            row.state_bytes,
        )
        for contender, row in zip(contenders, rows, strict=True)
    ]
    return Costs(rows, against.name, pareto(points, direction) if len(points) > 1 else ())


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, None of no values."""
    return statistics.fmean(values) if values else None


def pictures_of(contenders: Sequence[Contender]) -> tuple[Picture, ...]:
    """Return the last picture of each kind of each final run."""
    found = []
    for contender in contenders:
        for run in contender.finals:
            last: dict[str, Picture] = {}
            for path in run["pictures"] or ():
                name, _, step = path.rpartition("/")[2].removesuffix(".png").rpartition("-step-")
                if step.isdigit():
                    last[name] = Picture(contender.name, run["run_id"], name, int(step), path, run["seed"])
            found += last.values()
    return tuple(found)
