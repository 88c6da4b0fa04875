"""Every section of a workload beside the leaderboard and the verdicts: which measure gets which runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from optbench.reports.contenders import HEADLINES, OPEN, PRUNED, Contender, contenders_of, succeeded
from optbench.reports.model.content import BudgetCurve, LadderStep, ParetoPoint, Picture, Sensitivity, Stability, ToTarget
from optbench.reports.statistics.measures.expected_best import budget_curve
from optbench.reports.statistics.measures.pareto import pareto
from optbench.reports.statistics.measures.resources import resources
from optbench.reports.statistics.measures.sensitivity import sensitivity
from optbench.reports.statistics.measures.stability import stability
from optbench.reports.statistics.measures.to_target import Cost, complete, first_passing, passing, reaches
from optbench.reports.read.series import Series
from optbench.reports.statistics.intervals import mean_interval
from optbench.reports.read.study_file import as_number

Run = Mapping[str, Any]
Cells = Mapping[tuple[str, str], Mapping[str, Any]]


def tuning_sections(
    contenders: Sequence[Contender], direction: str, level: float
) -> tuple[tuple[BudgetCurve, ...], tuple[Sensitivity, ...]]:
    """What tuning tells: the best against the number of trials, and what a wrong learning rate costs."""
    curves, sensitivities = [], []
    for contender in contenders:
        if not contender.tuning:
            continue
        tried = [run for runs in contender.tuning.values() for run in runs]
        used = [run["gradient_evaluations"] * run["batch_size"] for run in tried if run["gradient_evaluations"]]
        spent = max(used) * max(map(len, contender.tuning.values())) if used else None
        curves.append(budget_curve(contender.name, contender.scores(), direction, level, spent))
        key = rate_of(contender)
        if key is not None:
            sensitivities.append(sensitivity_of(contender, key, direction, level))
    return tuple(curves), tuple(sensitivities)


def rate_of(contender: Contender) -> str | None:
    """The searched learning rate, where one was: the first such dimension of the box."""
    keys = [str(found.get("key")) for found in contender.cell.get("dimensions") or ()]
    return next((key for key in keys if key.split(".")[-1].split("_")[-1] == "lr"), None)


def sensitivity_of(contender: Contender, key: str, direction: str, level: float) -> Sensitivity:
    """The trials of a contender against its learning rate."""
    rates = values_of(contender, key)
    tried = {trial: rate for trial in sorted(contender.tuning) if (rate := rates.get(trial)) is not None}
    runs = [run for trial in tried for run in contender.tuning[trial]]
    trivial = next((run["val_trivial"] for run in runs if run["val_trivial"] is not None), None)
    winner = contender.winner
    return sensitivity(
        contender.name,
        key,
        list(tried.values()),
        [contender.score(trial) for trial in tried],
        direction,
        trivial=trivial,
        level=level,
        noise=contender.values("val"),
        chosen=tried.get(winner) if winner is not None else None,
        beside=beside(contender, key, list(tried)),
    )


def values_of(contender: Contender, key: str) -> dict[int, float | None]:
    """What each trial of a contender had for a hyperparameter; None for what is no number."""
    return {t["trial"]: as_number(t["values"].get(key)) for t in contender.cell.get("trials") or ()}


def beside(contender: Contender, key: str, trials: Sequence[int]) -> tuple[str, tuple[float, ...]]:
    """What was searched first beside a hyperparameter, and each trial's value; nothing, unless all are above 0."""
    others = (str(found.get("key")) for found in contender.cell.get("dimensions") or ())
    second = next((other for other in others if other != key), "")
    known = values_of(contender, second)
    y = tuple(value for trial in trials if (value := known.get(trial)) is not None and value > 0)
    return (second, y) if second and len(y) == len(trials) else ("", ())


def target_section(
    contenders: Sequence[Contender],
    ladder: Mapping[float, Mapping[str, Contender]],
    evaluated: Mapping[str, Series],
    target: float | None,
    direction: str,
    level: float,
    *,
    times: bool,
) -> tuple[ToTarget, ...]:
    """What it took each contender to reach the target, by complete schedules and inside runs."""
    if target is None:
        return ()
    found = []
    for contender in contenders:
        steps = {
            budget: [ended_at(run, target, direction, times) for run in there[contender.name].finals]
            for budget, there in ladder.items()
            if contender.name in there
        }
        found.append(complete(contender.name, steps, level))
    for contender in contenders:
        costs = [passed_at(run, evaluated.get(run["run_id"]), target, direction, times) for run in contender.finals]
        found.append(passing(contender.name, costs, level))
    return tuple(found)


def ended_at(run: Run, target: float, direction: str, times: bool) -> Cost | None:
    """What a run used to the end of its schedule, where it ended at the target."""
    if not succeeded(run) or not reaches(run["val"], target, direction):
        return None
    flops = run["flops_per_step"]
    return Cost(
        steps=run["steps"],
        samples=run["steps"] * run["batch_size"],
        train_seconds=run["train_seconds"] if times else None,
        wall_seconds=run["wall_seconds"] if times else None,
        flops=flops * run["steps"] if flops else None,
    )


def passed_at(run: Run, evaluated: Series | None, target: float, direction: str, times: bool) -> Cost | None:
    """What a run had used at its first evaluation at the target."""
    if evaluated is None:
        return None
    at = first_passing(evaluated.value.tolist(), target, direction)
    if at is None:
        return None
    flops, step = run["flops_per_step"], int(evaluated.step[at])
    return Cost(
        steps=step,
        samples=int(evaluated.samples[at]),
        train_seconds=float(evaluated.train_seconds[at]) if times else None,
        wall_seconds=float(evaluated.wall_seconds[at]) if times else None,
        flops=flops * step if flops else None,
    )


def ladder_of(runs: Sequence[Run], cells: Cells) -> dict[float, dict[str, Contender]]:
    """The contenders at each budget."""
    budgets = sorted({run["budget"] or 1.0 for run in runs})
    return {
        budget: {c.name: c for c in contenders_of([r for r in runs if (r["budget"] or 1.0) == budget], cells)}
        for budget in budgets
    }


def ladder_section(
    contenders: Sequence[Contender], ladder: Mapping[float, Mapping[str, Contender]], level: float
) -> tuple[LadderStep, ...]:
    """The headline at each budget, where there are several."""
    if len(ladder) < 2:
        return ()
    return tuple(
        LadderStep(
            contender=contender.name,
            budget=budget,
            steps=(there[contender.name].finals or [{"steps": 0}])[0]["steps"],
            test=mean_interval(there[contender.name].values("test"), level),
            val=mean_interval(there[contender.name].values("val"), level),
        )
        for contender in contenders
        for budget, there in ladder.items()
        if contender.name in there and there[contender.name].finals
    )


def stability_section(
    contenders: Sequence[Contender], losses: Mapping[str, Series], level: float
) -> tuple[Stability, ...]:
    """Failures of the tuning runs (of the final ones, where nothing was tuned) and spikes of the final ones."""
    found = []
    for contender in contenders:
        tried = [run for runs in contender.tuning.values() for run in runs] or contender.finals
        ended = [run for run in tried if run["status"] not in (OPEN, PRUNED)]
        series = [losses[run["run_id"]].value for run in contender.finals if run["run_id"] in losses]
        found.append(stability(contender.name, [not succeeded(run) for run in ended], series, level))
    return tuple(found)


def cost_sections(
    contenders: Sequence[Contender], headline: str, direction: str, reference: str, level: float, *, times: bool
) -> dict[str, Any]:
    """Resources beside the reference's, and the Pareto front."""
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
    front: tuple[ParetoPoint, ...] = pareto(points, direction) if len(points) > 1 else ()
    return {"resources": rows, "reference": against.name, "pareto": front}


def mean(values: Sequence[float]) -> float | None:
    """The mean, where there is one."""
    return statistics.fmean(values) if values else None


def pictures_of(contenders: Sequence[Contender]) -> tuple[Picture, ...]:
    """The last picture of each kind of each final run."""
    found = []
    for contender in contenders:
        for run in contender.finals:
            last: dict[str, Picture] = {}
            for path in run["pictures"] or ():
                name, _, step = path.rpartition("/")[2].removesuffix(".png").rpartition("-step-")
                if step.isdigit():
                    last[name] = Picture(contender.name, run["run_id"], name, int(step), path)
            found += last.values()
    return tuple(found)
