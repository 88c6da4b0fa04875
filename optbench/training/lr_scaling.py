"""Learning rate and warm-up by batch size: values tuned for one batch size carried over to another.

    sqrt     lr * sqrt(B / B0)   (Krizhevsky, 2014, arXiv:1404.5997; for LAMB: You et al., 2020, arXiv:1904.00962)
    linear   lr * B / B0         (Goyal et al., 2017, arXiv:1706.02677)
    warm-up  share * B / B0      (You et al., 2020: the same number of steps however few there are)

With a budget in samples (`samples=`) the steps shrink as the batch grows; a warm-up that is given in steps, not as a
share of the budget, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

RULES: Mapping[str, Callable[[float], float]] = {"sqrt": math.sqrt, "linear": float}
SHARE = "warmup"  # the key of a schedule that holds its warm-up


def lr_factor(rule: str | None, batch_size: int, reference: int | None) -> float:
    """What the learning rate is multiplied with; 1 without a rule."""
    return RULES[rule](batch_size / reference) if rule and reference else 1.0


def scaled_schedule(
    settings: Mapping[str, Any], rule: str | None, batch_size: int, reference: int | None
) -> dict[str, Any]:
    """A schedule's settings with the warm-up's share in proportion to the batch, all of the budget at most."""
    scaled = dict(settings)
    share = scaled.get(SHARE, 0.0)
    if rule and reference and 0 < share < 1:
        # exactly 1 would mean one step
        scaled[SHARE] = min(share * RULES[rule](batch_size / reference), math.nextafter(1.0, 0.0))
    return scaled
