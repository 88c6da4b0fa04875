"""Learning rate and warm-up scaled with the batch size, for values tuned at another batch size.

    sqrt     lr * sqrt(B / B0)   (Krizhevsky, 2014, arXiv:1404.5997; for LAMB: You et al., 2020, arXiv:1904.00962)
    linear   lr * B / B0         (Goyal et al., 2017, arXiv:1706.02677)
    warm-up  share * B / B0      (You et al., 2020: always the same number of steps)

With a budget in samples (`samples=`), a larger batch means fewer steps. A warm-up given in steps is not scaled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

RULES: Mapping[str, Callable[[float], float]] = {"sqrt": math.sqrt, "linear": float}
WARMUP = "warmup"  # key of a schedule's settings


def lr_factor(rule: str | None, batch_size: int, reference: int | None) -> float:
    """Return the factor of the learning rate; 1 without a rule."""
    return RULES[rule](batch_size / reference) if rule and reference else 1.0


def scaled_schedule(
    settings: Mapping[str, float], rule: str | None, batch_size: int, reference: int | None
) -> dict[str, float]:
    """Return a schedule's settings with the warm-up's share scaled, up to the whole budget."""
    scaled = dict(settings)
    share = scaled.get(WARMUP, 0.0)
    if rule and reference and 0 < share < 1:
        # exactly 1 would mean one step
        scaled[WARMUP] = min(share * RULES[rule](batch_size / reference), math.nextafter(1.0, 0.0))
    return scaled
