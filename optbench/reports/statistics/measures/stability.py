"""How often a contender fails, and how bumpy its loss is."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Estimate, Stability
from optbench.reports.statistics.intervals import mean_interval, share_interval

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


def judged(losses: Sequence[float]) -> int:
    """How many records could have been spikes: all but the first 20 that are finite."""
    import numpy as np

    finite = int(np.isfinite(np.asarray(losses, dtype=float)).sum())
    return len(losses) - min(WINDOW, finite)


def stability(
    contender: str, tuning_failed: Sequence[bool], losses: Sequence[Sequence[float]], level: float = 0.95
) -> Stability:
    """`tuning_failed`: for each run of the box whether it failed. `losses`: training losses of each final run, nan
    where one was not finite."""
    failed = sum(tuning_failed)
    return Stability(
        contender=contender,
        runs=len(tuning_failed),
        failed=failed,
        share=share_interval(failed, len(tuning_failed), level) if tuning_failed else Estimate(None),
        spikes=spike_rate([(spikes(series), judged(series)) for series in losses], level),
    )


def spike_rate(counts: Sequence[tuple[int, int]], level: float) -> Estimate:
    """Spikes in 1,000 records that were judged, the mean over runs, of (spikes, judged records) by run; a run too short
    to be judged is none.

    The interval is Student's t over runs, but never narrower than the exact one of a Poisson count (Garwood 1936) in
    all records together: runs without any spike agree, and t alone would be sure of none."""
    from scipy.special import gammaincinv

    known = [(found, of) for found, of in counts if of]
    rate = mean_interval([1000 * found / of for found, of in known], level)
    if rate.low is None or rate.high is None:
        return rate
    found, of = (sum(column) for column in zip(*known, strict=True))
    tail = (1 - level) / 2
    low = float(gammaincinv(found, tail)) if found else 0.0
    high = float(gammaincinv(found + 1, 1 - tail))
    return Estimate(rate.value, max(0.0, min(rate.low, 1000 * low / of)), max(rate.high, 1000 * high / of), rate.n)
