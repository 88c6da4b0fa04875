"""The measures that a claim may compare. `optbench.reports.claims` computes them."""

from __future__ import annotations

import math
from typing import NamedTuple

DIFFERENCE, RATIO = "difference", "ratio"
ANY, SHARE, NOT_NEGATIVE = (-math.inf, math.inf), (0.0, 1.0), (0.0, math.inf)
METRIC_BOUNDS = {"share": SHARE, "positive": NOT_NEGATIVE, "decades": NOT_NEGATIVE}
"""The least and the greatest value of a task's metric, by its scale."""


class Measure(NamedTuple):
    """One measure; a claim's margin is in the unit of its comparison."""

    comparison: str
    """A difference, or a ratio whose margin is a share."""
    more_is_better: bool | None
    """None: by the direction of the task's metric."""
    meaning: str
    bounds: tuple[float, float] | None = ANY
    """The least and the greatest value. None: those of the task's metric."""
    of_winner: bool = False
    """True for the quality of the tuned setting: better tuning may better it, and an untrained network has none."""
    along: bool = False
    """True for a measure of several values of an axis: its criterion says which, `along: batch_size`."""

    needs_side: bool = False
    """True if `against` must be another side, not a number."""

    @property
    def is_ratio(self) -> bool:
        """True for a measure compared by ratio."""
        return self.comparison == RATIO

    def bounds_on(self, scale: str | None) -> tuple[float, float]:
        """Return the least and the greatest value where the task's metric has this scale."""
        return METRIC_BOUNDS.get(scale or "", ANY) if self.bounds is None else self.bounds


MEASURES = {
    "test_metric": Measure(DIFFERENCE, None, "metric on test at the end, by the task's direction", None, True),
    "val_metric": Measure(DIFFERENCE, None, "metric on validation at the end", None, True),
    "train_metric": Measure(DIFFERENCE, None, "metric on training samples at the end", None, True),
    "test_loss": Measure(RATIO, False, "loss on test at the end", of_winner=True),
    "val_loss": Measure(RATIO, False, "loss on validation at the end", of_winner=True),
    "train_loss": Measure(RATIO, False, "loss on training samples at the end", of_winner=True),
    "iqm": Measure(
        DIFFERENCE, True, "score over all workloads: 1 the best contender's mean, 0 the trivial answer", SHARE, True
    ),
    "diverged_share": Measure(DIFFERENCE, False, "share of the tuning runs that failed", SHARE),
    "seed_sd": Measure(RATIO, False, "standard deviation of the final metric over seeds", of_winner=True),
    "trial_sd": Measure(
        RATIO, False, "standard deviation of the metric over the trials of the tuning", needs_side=True
    ),
    "lr_sensitivity": Measure(
        DIFFERENCE, True, "decades of learning rate that end near the contender's own best", NOT_NEGATIVE
    ),
    "regret_at_defaults": Measure(
        DIFFERENCE, False, "what the tuned values gain over the optimizer's own on validation; needs include_default"
    ),
    "separability": Measure(DIFFERENCE, True, "separability of learning rate and weight decay, 0 to 1", SHARE),
    "axis_span": Measure(
        DIFFERENCE,
        False,
        "the largest mean of the headline along an axis minus the least, each value tuned for itself",
        NOT_NEGATIVE,
        of_winner=True,
        along=True,
    ),
    "rate_transfer_cost": Measure(
        DIFFERENCE,
        False,
        "validation metric that the best learning rate of the least value of an axis loses at the largest one",
        NOT_NEGATIVE,
        along=True,
    ),
    "steps_to_target": Measure(RATIO, False, "steps of the shortest complete schedule that reaches the target"),
    "seconds_to_target": Measure(RATIO, False, "training seconds of that schedule"),
    "equivalent_budget": Measure(
        RATIO,
        True,
        "how many times its data the side `against` needs for its result, by the ladder",
        of_winner=True,
        needs_side=True,
    ),
    "equivalent_budget_trend": Measure(
        RATIO,
        True,
        "equivalent_budget at the largest value of an axis over that at the least",
        of_winner=True,
        along=True,
        needs_side=True,
    ),
    "train_seconds": Measure(RATIO, False, "seconds of data, forward, backward and optimizer"),
    "wall_seconds": Measure(RATIO, False, "wall-clock seconds of the run"),
    "optimizer_seconds": Measure(RATIO, False, "seconds of optimizer steps"),
    "step_ms": Measure(RATIO, False, "milliseconds of the median training step"),
    "samples_per_second": Measure(RATIO, True, "samples over seconds of training"),
    "state_bytes": Measure(RATIO, False, "bytes of optimizer state"),
    "peak_bytes": Measure(RATIO, False, "peak memory, bytes"),
    "flops_per_step": Measure(RATIO, False, "floating-point operations of a step"),
    "gradient_evaluations": Measure(RATIO, False, "gradient evaluations of a run"),
}
