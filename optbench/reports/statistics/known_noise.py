"""Tests where the noise of a run is known beforehand, as in modded-nanogpt's track 3: sigma 0.0013, one-sided p < .001.

With a known standard deviation one run can be judged, which no estimate from the runs themselves allows. Losses:
smaller is better. No run may be stopped for its own result, and all seeds of a claim stop at one step."""

from __future__ import annotations

import math
import statistics

SIGMA, LEVEL = 0.0013, 0.001


def p_below(target: float, mean: float, n: int, sigma: float = SIGMA) -> float:
    """One-sided p-value of a true loss at or above the target, for the mean of n runs."""
    return statistics.NormalDist().cdf(-(target - mean) * math.sqrt(n) / sigma)


def p_better(a: float, n_a: int, b: float, n_b: int, sigma: float = SIGMA, credit: float = 0.0) -> float:
    """One-sided p-value of a true loss of a at or above b's, for means of n_a and n_b runs. `credit`: loss that a's
    fewer steps are worth (0.0045 for 100 steps there)."""
    return statistics.NormalDist().cdf(-(b - a + credit) / (sigma * math.sqrt(1 / n_a + 1 / n_b)))


def passes(p: float, level: float = LEVEL) -> bool:
    """Whether a claim is shown."""
    return p < level
