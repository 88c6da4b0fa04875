"""The share of failed runs of a contender, and the spikes of its loss."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.reports.model.content import Estimate, Stability
from optbench.reports.statistics.intervals import mean_interval, share_interval

WINDOW = 20  # records before the one that is judged
DEVIATIONS = 5.0  # scaled median absolute deviations above their median make a spike
SCALE = 1.4826  # of the median absolute deviation, to a standard deviation of normal noise
LEAST = 0.01  # of the median's size, as the deviation of a nearly constant series


def spikes(losses: Sequence[float]) -> int:
    """Count the spikes in a run's training losses.

    A spike exceeds the median of the 20 finite records before it by more than five scaled median absolute deviations,
    or is not finite. The first 20 records are not judged. Each record counts: a lasting jump has as many as the window
    needs to follow."""
    import numpy as np
    import polars as pl

    series = np.asarray(losses, dtype=float)
    nonfinite = ~np.isfinite(series)
    found = int(nonfinite.sum())
    finite = series[~nonfinite]
    if len(finite) <= WINDOW:
        return found
    middle = pl.Series(finite[:-1]).rolling_median(WINDOW)[WINDOW - 1 :].to_numpy()
    judged = finite[WINDOW:]
    least = DEVIATIONS * LEAST * np.abs(middle)
    above = np.flatnonzero(judged > middle + least)  # few: only these need their deviation
    windows = np.lib.stride_tricks.sliding_window_view(finite[:-1], WINDOW)[above]
    deviation = SCALE * np.median(np.abs(windows - middle[above, None]), axis=1)
    return found + int((judged[above] > middle[above] + DEVIATIONS * deviation).sum())


def judged(losses: Sequence[float]) -> int:
    """Count the records that could be spikes: all but the first 20 finite ones."""
    import numpy as np

    finite = int(np.isfinite(np.asarray(losses, dtype=float)).sum())
    return len(losses) - min(WINDOW, finite)


def stability(
    contender: str, tuning_failed: Sequence[bool], losses: Sequence[Sequence[float]], level: float = 0.95
) -> Stability:
    """Return the stability of a contender.

    `tuning_failed`: whether each tuning run failed. `losses`: training losses of each final run, nan if not finite."""
    failed = sum(tuning_failed)
    return Stability(
        contender=contender,
        runs=len(tuning_failed),
        failed=failed,
        share=share_interval(failed, len(tuning_failed), level) if tuning_failed else Estimate(None),
        spikes=spike_rate([(spikes(series), judged(series)) for series in losses], level),
    )


def spike_rate(counts: Sequence[tuple[int, int]], level: float) -> Estimate:
    """Return spikes per 1,000 judged records, the mean over runs, given (spikes, judged records) by run.

    The interval is Student's t over runs, but never narrower than the exact one of a Poisson count (Garwood 1936) in
    all records together: runs without any spike agree, and t alone would give no width."""
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
