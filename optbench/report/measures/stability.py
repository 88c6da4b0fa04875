"""How often a contender fails, and how bumpy its loss is."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.report.content import Estimate, Stability
from optbench.report.statistics.intervals import mean_interval, share_interval

WINDOW = 20  # records before the one that is judged
DEVIATIONS = 5.0  # scaled median absolute deviations above their median make a spike
SCALE = 1.4826  # of the median absolute deviation, to a standard deviation of normal noise
LEAST = 0.01  # of the median's size, as the deviation of a nearly constant series


def spikes(losses: Sequence[float]) -> int:
    """Spikes in a run's training losses: records that exceed the median of the 20 before them by more than five scaled
    median absolute deviations, and those that are not finite. The first 20 records only prepare.

    Each record above counts: a loss that stays high has as many as it takes the window to follow."""
    import numpy as np
    import polars as pl

    series = np.asarray(losses, dtype=float)
    strange = ~np.isfinite(series)
    found = int(strange.sum())
    calm = series[~strange]
    if len(calm) <= WINDOW:
        return found
    middle = pl.Series(calm[:-1]).rolling_median(WINDOW)[WINDOW - 1 :].to_numpy()
    judged = calm[WINDOW:]
    least = DEVIATIONS * LEAST * np.abs(middle)
    above = np.flatnonzero(judged > middle + least)  # few: only these need their deviation
    windows = np.lib.stride_tricks.sliding_window_view(calm[:-1], WINDOW)[above]
    deviation = SCALE * np.median(np.abs(windows - middle[above, None]), axis=1)
    return found + int((judged[above] > middle[above] + DEVIATIONS * deviation).sum())


def stability(
    contender: str, tuning_failed: Sequence[bool], losses: Sequence[Sequence[float]], level: float = 0.95
) -> Stability:
    """`tuning_failed`: for each run of the box whether it failed. `losses`: training losses of each final run, nan
    where one was not finite."""
    failed = sum(tuning_failed)
    rates = [1000 * spikes(series) / len(series) for series in losses if len(series)]
    spiky = mean_interval(rates, level)
    if spiky.low is not None:
        spiky = Estimate(spiky.value, max(0.0, spiky.low), spiky.high, spiky.n)
    return Stability(
        contender=contender,
        runs=len(tuning_failed),
        failed=failed,
        share=share_interval(failed, len(tuning_failed), level) if tuning_failed else Estimate(None),
        spikes=spiky,
    )
