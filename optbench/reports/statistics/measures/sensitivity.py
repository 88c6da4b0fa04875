"""The cost of a wrong learning rate, as a curve and one number.

After Wortsman et al. (2023, arXiv 2309.14322): the expected loss of metric against the best learning rate, over
learning rates drawn log-uniformly from the searched range. No loss exceeds that of the trivial answer.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from optbench.reports.model.content import Estimate, Sensitivity
from optbench.reports.statistics.intervals import t_quantile


def sensitivity(
    contender: str,
    key: str,
    x: Sequence[float],
    values: Sequence[float | None],
    direction: str,
    *,
    trivial: float | None = None,
    level: float = 0.95,
    noise: Sequence[float] = (),
    chosen: float | None = None,
    second: tuple[str, tuple[float, ...]] = ("", ()),
) -> Sensitivity:
    """Return the metric against the learning rate.

    `x`: learning rates of the trials. `values`: their validation metrics; None: failed, counts as `trivial`, the
    trivial answer's metric (as the worst trial if unknown). `noise`: metrics of one setting over seeds; two are needed
    for an interval. `second`: another searched key and its value in each trial; its effect is in the number too."""
    return Sensitivity(
        contender=contender,
        key=key,
        x=tuple(x),
        value=tuple(values),
        number=number(x, values, direction, trivial, level, noise),
        chosen=chosen,
        second=second[0],
        y=second[1],
    )


def number(
    x: Sequence[float],
    values: Sequence[float | None],
    direction: str,
    trivial: float | None,
    level: float,
    noise: Sequence[float],
) -> Estimate:
    """Return the mean loss, by the trapezoid rule over the logarithms of the learning rates.

    None without two learning rates, and if no trial beats the trivial answer. The interval propagates the noise of each
    trial through the sum; the best learning rate is taken as known."""
    sign = 1.0 if direction == "max" else -1.0
    known = [sign * value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return Estimate(None)
    floor = sign * trivial if trivial is not None else min(known)
    points: dict[float, list[float]] = {}
    for at, value in zip(x, values, strict=True):
        if at > 0:
            points.setdefault(math.log(at), []).append(
                max(floor, sign * value) if value is not None and math.isfinite(value) else floor
            )
    if len(points) < 2:
        return Estimate(None, n=len(values))
    ordered = sorted(points)
    weights = trapezoid_weights(ordered)
    means = [statistics.fmean(points[at]) for at in ordered]
    if trivial is not None and max(known) <= floor:
        return Estimate(None, n=len(values))
    lost = max(means) - sum(w * mean for w, mean in zip(weights, means, strict=True))
    if len(noise) < 2:
        return Estimate(lost, n=len(values))
    best = means.index(max(means))
    share = [(i == best) - w for i, w in enumerate(weights)]
    error = statistics.stdev(noise) * math.sqrt(
        sum(s**2 / len(points[at]) for s, at in zip(share, ordered, strict=True))
    )
    half = t_quantile(0.5 + level / 2, len(noise) - 1) * error
    return Estimate(lost, max(0.0, lost - half), lost + half, len(values))


def trapezoid_weights(at: Sequence[float]) -> list[float]:
    """Return the weights of values at increasing points in the mean of their linear interpolation; they sum to one."""
    width = at[-1] - at[0]
    gaps = [b - a for a, b in itertools.pairwise(at)]
    return [(left + right) / (2 * width) for left, right in zip([0.0, *gaps], [*gaps, 0.0], strict=True)]
