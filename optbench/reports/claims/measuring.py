"""The measures of `optbench.config.measures` on two sides, or on one side against a number.

Each returns the interval of the gain of the first side, larger is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from optbench.config.measures import MEASURES
from optbench.reports.claims.along import equivalent_budget_trend, rate_transfer_cost, span
from optbench.reports.claims.budgets import equivalent_budget
from optbench.reports.claims.gains import TINY, Measurement, of_difference, of_ratio
from optbench.reports.claims.sides import Side
from optbench.reports.claims.tuning import lr_sensitivity, regret_at_defaults, separable, trial_sd
from optbench.reports.contenders import OPEN, PRUNED, succeeded
from optbench.reports.model.content import Estimate
from optbench.reports.outcomes import negative_log, outcome
from optbench.reports.read.settings import settings_of
from optbench.reports.statistics.difference import Arm, Difference, difference, difference_from
from optbench.reports.statistics.intervals import ratio_interval, share_interval
from optbench.reports.statistics.measures.ladder import Rung, cost_ratio
from optbench.reports.statistics.measures.paired_intervals import difference_of, paired_share_difference, wilson
from optbench.reports.statistics.measures.spread import sd_against, sd_ratio
from optbench.reports.statistics.measures.to_target import reaches
from optbench.reports.statistics.verdicts import Margin, verdicts

Against = Side | float
Measure = Callable[[Side, Against, float], Measurement]
METRICS = {"test_metric": "test", "val_metric": "val", "train_metric": "train"}
LOSSES = {"test_loss", "val_loss", "train_loss"}
COLUMNS = {"step_ms": "step_ms_median"}  # a measure's column, where it has another name
TIMES = {"train_seconds", "wall_seconds", "optimizer_seconds", "step_ms", "samples_per_second", "seconds_to_target"}


def measure(name: str, of: Side, against: Against, level: float) -> Measurement:
    """Return a measure on two sides. Missing numbers and times of different hardware give no interval."""
    succeeded_runs = [run for side in (of, against) if isinstance(side, Side) for run in side.contender.succeeded]
    machines = sorted({run["hardware"] for run in succeeded_runs if run["hardware"]})
    if name in TIMES and len(machines) > 1:
        return Measurement(f"times of different hardware ({'; '.join(machines)})")
    special = SPECIAL.get(name)
    if special is not None:
        return special(of, against, level)
    kind = metric if name in METRICS else loss if name in LOSSES else column
    return kind(name, of, against, level)


def metric(name: str, of: Side, against: Against, level: float) -> Measurement:
    """Return the difference of the metric over final seeds, with selection variance."""
    sides = [side for side in (of, against) if isinstance(side, Side)]
    arms = [arm_of(side, METRICS[name]) for side in sides]
    bounds = MEASURES[name].bounds_on(next((run["metric_scale"] for run in of.runs if run["metric_scale"]), None))
    n = min(len(arm.values) for arm in arms)
    if any(arm.failed for arm in arms):
        return with_failures(arms, level, paired=of.paired)
    found = difference_of_arms(arms, of, 0.0 if isinstance(against, Side) else of.signed(against))
    if found is None:
        return Measurement("fewer than two results on a side", n=n)
    half = found.half_width(level)
    if not isinstance(against, Side):
        center = against + of.sign * found.value
        words = f"{center:.4g} [{center - half:.4g}, {center + half:.4g}] against {against:g}"
        gain = Measurement(words, found.value - half, found.value + half, n, value=found.value)
        return gain.beside(against, bounds, of.sign)
    difference = Estimate(of.sign * found.value, of.sign * found.value - half, of.sign * found.value + half, n)
    base = of.sign * statistics.fmean(arms[1].values)
    how = "difference by seed" if found.pairs else "difference"
    return of_difference(difference, of.sign, how, n).beside(base, bounds, of.sign)


def difference_of_arms(arms: Sequence[Arm], of: Side, known: float) -> Difference | None:
    """Return the difference between two sides, or of one from a number; None for fewer than two results."""
    return difference(arms[0], arms[1], paired=of.paired) if len(arms) == 2 else difference_from(arms[0], known)


def arm_of(side: Side, column: str) -> Arm:
    """Return a side for the statistics."""
    if column == "train":
        return outcome(side.contender, side.sign, column, side.signed)
    return side.contender.arm(f"{column}_metric", side.sign)


def with_failures(arms: Sequence[Arm], level: float, *, paired: bool) -> Measurement:
    """Return the measurement of sides of which some seeds failed: their mean has no value."""
    if len(arms) == 2:
        return by_ranks(arms[0], arms[1], level, paired=paired)
    failed, n = arms[0].failed, len(arms[0].values)
    return Measurement(f"{failed} of {n + failed} seeds failed", n=n)


def by_ranks(a: Arm, b: Arm, level: float, *, paired: bool) -> Measurement:
    """Return the order of two sides with failed seeds: a failed seed is worse than any result."""
    pair = verdicts([a, b], Margin(0.0, False), level=level, paired=paired)[0]
    words = f"failed seeds: {a.failed} of {a.failed + len(a.values)} against {b.failed} of {b.failed + len(b.values)}"
    n = min(a.failed + len(a.values), b.failed + len(b.values))
    low, high = {"better": (TINY, math.inf), "worse": (-math.inf, -TINY)}.get(pair.verdict, (-math.inf, math.inf))
    return Measurement(f"{words}, by ranks {pair.verdict}", low, high, n)


def loss(name: str, of: Side, against: Against, level: float) -> Measurement:
    """Return the ratio of geometric means of a loss of the final runs, with selection variance."""
    sides = [side for side in (of, against) if isinstance(side, Side)]
    arms = [outcome(side.contender, side.sign, name, negative_log) for side in sides]
    n = min(len(arm.values) for arm in arms)
    if any(arm.failed for arm in arms):
        return with_failures(arms, level, paired=of.paired)
    if not all(math.isfinite(value) for arm in arms for value in arm.values):
        return Measurement("a loss is not above zero", n=n)
    found = difference_of_arms(arms, of, 0.0 if isinstance(against, Side) else negative_log(against))
    if found is None:
        return Measurement("fewer than two results on a side", n=n)
    half = found.half_width(level)
    value, low, high = (math.exp(-end) for end in (found.value, found.value + half, found.value - half))
    whose = f"that of {against.contender.name}" if isinstance(against, Side) else f"{against:g}"
    return of_ratio(Estimate(value, low, high, n), -1.0, whose, n)


def column(name: str, of: Side, against: Against, level: float) -> Measurement:
    """Return the ratio of geometric means of a column of the final runs."""
    values = [values_of(name, side) for side in (of, against) if isinstance(side, Side)]
    sign = 1.0 if MEASURES[name].more_is_better else -1.0
    n = min(map(len, values))
    if not isinstance(against, Side):
        ratio = ratio_interval(values[0], [against] * max(2, len(values[0])), level) if n else Estimate(None)
        return of_ratio(ratio, sign, f"{against:g}", n)
    return of_ratio(ratio_interval(values[0], values[1], level), sign, f"that of {against.contender.name}", n)


def values_of(name: str, side: Side) -> list[float]:
    """Return a measure's value in each final run that succeeded."""
    if name == "optimizer_seconds":
        return [found for run in side.contender.succeeded if (found := (run["seconds"] or {}).get("optimizer"))]
    return side.contender.values(COLUMNS.get(name, name))


def diverged_share(of: Side, against: Against, level: float) -> Measurement:
    """Return the difference of the shares of failed runs, by Newcombe's interval; pruned and open runs do not count.

    Runs of the same values and seed on both sides are compared in pairs, if every run has its partner."""
    outcomes = [failures(side) for side in (of, against) if isinstance(side, Side)]
    n = min(map(len, outcomes))
    said = " against ".join(f"{sum(failed.values())} of {len(failed)} runs failed" for failed in outcomes)
    if n == 0:
        return Measurement("no runs", n=0, unit="runs")
    shares = [wilson(sum(failed.values()), len(failed), level) for failed in outcomes]
    if not isinstance(against, Side):
        found = shifted(share_interval(sum(outcomes[0].values()), n, level), -against)
    elif outcomes[0].keys() == outcomes[1].keys():
        ours, theirs = ([failed[key] for key in sorted(failed)] for failed in outcomes)
        found = paired_share_difference(ours, theirs, level)
    else:
        found = difference_of(*shares)
    base = shares[1].value if isinstance(against, Side) else against
    bounds = MEASURES["diverged_share"].bounds_on(None)
    return of_difference(found, -1.0, f"{said}, difference", n, "runs").beside(base, bounds, -1.0)


def shifted(of: Estimate, by: float) -> Estimate:
    """Return an estimate moved by a known number."""
    value, low, high = (None if end is None else end + by for end in (of.value, of.low, of.high))
    return Estimate(value, low, high, of.n)


def failures(side: Side) -> dict[str, bool]:
    """Return whether each ended run of the tuning failed, by its searched values and its seed."""
    keys = side.contender.searched
    ended = [run for run in side.tried if run["status"] not in (OPEN, PRUNED)]
    found: dict[str, bool] = {}
    for number, run in enumerate(ended):
        key = f"{run['seed']} {settings_of(run, keys)}"
        found[f"{key} {number}" if key in found else key] = not succeeded(run)
    return found


def seed_sd(of: Side, against: Against, level: float) -> Measurement:
    """Return the ratio of standard deviations over final seeds; a side with failed seeds has none."""
    sides = [side for side in (of, against) if isinstance(side, Side)]
    if any(side.contender.failed for side in sides):
        return Measurement("failed seeds have no metric")
    values = [headline_values(side) for side in sides]
    n = min(map(len, values))
    if isinstance(against, Side):
        return of_ratio(sd_ratio(values[0], values[1], level), -1.0, f"that of {against.contender.name}", n)
    return of_ratio(sd_against(values[0], against, level), -1.0, f"{against:g}", n)


def headline_values(side: Side) -> list[float]:
    """Return the metric on test, on validation if there is none."""
    return side.contender.values("test") or side.contender.values("val")


def steps_to_target(of: Side, against: Against, level: float) -> Measurement:
    """Return the ratio of the steps of the shortest complete schedules that reach the target."""
    return to_target(of, against, level, "steps")


def seconds_to_target(of: Side, against: Against, level: float) -> Measurement:
    """Return the same ratio in seconds of training, the median of the runs."""
    return to_target(of, against, level, "train_seconds")


def to_target(of: Side, against: Against, level: float, column: str) -> Measurement:
    """Return the ratio of costs from the ladders of complete schedules."""
    ladders = [rungs(side, column) for side in (of, against) if isinstance(side, Side)]
    if not all(ladders):
        return Measurement("no target, or no runs that have ended")
    n = min(rung.of for ladder in ladders for rung in ladder)
    ratio = cost_ratio(ladders[0], ladders[1] if isinstance(against, Side) else float(against), level)
    whose = f"that of {against.contender.name}" if isinstance(against, Side) else f"{against:g}"
    reached = "; ".join(
        ", ".join(f"{rung.reached} of {rung.of} at {rung.cost:.4g}" for rung in ladder) for ladder in ladders
    )
    found = of_ratio(ratio, -1.0, whose, n)
    return replace(found, words=f"{found.words} (reached: {reached})")


def rungs(side: Side, column: str) -> list[Rung]:
    """Return the side's ladder; empty without a target."""
    found = []
    for rung in side.ladder:
        runs = rung.contender.finals
        targets = {run["target"] for run in runs if run["target"] is not None}
        costs = [cost for cost in rung.contender.values(column) if cost]
        if not runs or not targets or not costs:
            continue
        direction = "max" if side.sign > 0 else "min"
        ended = sum(succeeded(run) and reaches(run["val"], max(targets), direction) for run in runs)
        found.append(Rung(statistics.median(costs), ended, len(runs)))
    return found


SPECIAL: Mapping[str, Measure] = {
    "diverged_share": diverged_share,
    "seed_sd": seed_sd,
    "trial_sd": trial_sd,
    "lr_sensitivity": lr_sensitivity,
    "regret_at_defaults": regret_at_defaults,
    "separability": separable,
    "axis_span": span,
    "rate_transfer_cost": rate_transfer_cost,
    "steps_to_target": steps_to_target,
    "seconds_to_target": seconds_to_target,
    "equivalent_budget": equivalent_budget,
    "equivalent_budget_trend": equivalent_budget_trend,
}
