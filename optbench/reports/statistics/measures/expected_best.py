"""Performance against tuning budget: the expected best of n trials, drawn without replacement from those that were run.

Dodge et al. (2019, arXiv 1909.03004) draw with replacement, which is biased (Tang et al. 2020, arXiv 2004.04564);
without replacement the expectation is exact: E_n = sum_{i >= n} v_(i) C(i-1, n-1) / C(N, n), v_(1) the worst of N.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, isfinite

from optbench.reports.model.content import BudgetCurve


def budget_curve(
    contender: str,
    values: Sequence[float | None],
    direction: str,
    level: float = 0.95,
    evaluated_samples: float | None = None,
    headline: Sequence[float | None] = (),
) -> BudgetCurve:
    """Return the curve of a contender for n = 1..N trials with these validation metrics.

    A trial without a finite metric has failed and counts as worse than any other; the expectation is None while n
    trials may all be failures. `low` and `high` are quantiles of the best over the orders of these trials, at `level`:
    they measure the order, not the confidence in the box. `headline`: of each trial, on test; the curve has that of the
    trial that these metrics choose, if every trial with a metric has one."""
    sign = 1.0 if direction == "max" else -1.0
    known = sorted(sign * value for value in values if value is not None and isfinite(value))
    failed, total = len(values) - len(known), len(values)
    expected, low, high = [], [], []
    for n in range(1, total + 1):
        shares = best_of(n, total)
        out_of_reach = n <= failed
        reached = [share * value for share, value in zip(shares[failed:], known, strict=True)]
        expected.append(None if out_of_reach else sign * sum(reached))
        ends = [quantile(shares, q) - failed for q in ((1 - level) / 2, (1 + level) / 2)]
        worst, best = (sign * known[i] if i >= 0 else None for i in ends)
        low.append(worst)
        high.append(best)
    if sign < 0:  # the least number first, whichever direction is better
        low, high = high, low
    trials = tuple(range(1, total + 1))
    chosen = tuple(expected_of_chosen(values, headline, sign)) if headline else ()
    return BudgetCurve(contender, trials, tuple(expected), tuple(low), tuple(high), evaluated_samples, chosen)


def expected_of_chosen(
    values: Sequence[float | None], others: Sequence[float | None], sign: float
) -> list[float | None]:
    """Return the expected other metric of the best of n trials by their values, n = 1..N; equal trials are chosen
    equally often. Empty if a trial with a value has no other metric."""
    known = [(sign * v, w) for v, w in zip(values, others, strict=True) if v is not None and isfinite(v)]
    if any(other is None for _, other in known):
        return []
    equal: dict[float, list[float]] = {}
    for value, other in known:
        equal.setdefault(value, []).append(other or 0.0)
    means = [sum(equal[value]) / len(equal[value]) for value, _ in sorted(known)]
    failed, total = len(values) - len(known), len(values)
    return [
        None
        if n <= failed
        else sum(share * mean for share, mean in zip(best_of(n, total)[failed:], means, strict=True))
        for n in range(1, total + 1)
    ]


def best_of(n: int, total: int) -> list[float]:
    """Return P(the best of n trials is the i-th worst of all), i = 1..total."""
    ways = comb(total, n)
    return [comb(i - 1, n - 1) / ways for i in range(1, total + 1)]


def quantile(shares: Sequence[float], q: float) -> int:
    """Return the smallest index up to which the shares sum to q or more."""
    total = 0.0
    for index, share in enumerate(shares):
        total += share
        if total >= q - 1e-12:
            return index
    return len(shares) - 1
