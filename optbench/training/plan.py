"""The settings of the training loop, and its progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from optbench.records import Status

State: TypeAlias = dict[str, Any]
"""A part of a checkpoint: plain values and tensors by name."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers that control the loop; conf/root/run.yaml explains them."""

    steps: int
    batch_size: int
    eval_every: int
    eval_batch_size: int
    eval_train_samples: int
    record_every: int
    target: float | None
    stop_at_target: bool
    max_seconds: float | None
    compile: bool
    evaluate_untrained: bool = False
    """True for a task without a trivial answer: the metric of the untrained network takes its place."""


@dataclass
class TrainingProgress:
    """The loop's own state: what a checkpoint keeps besides players, clock and random state."""

    step: int = 0
    samples: int = 0
    evaluated_step: int = -1
    """Step of the latest validation; -1 before the first."""
    latest: dict[str, float] = field(default_factory=dict)
    """Scores of the latest validation."""
    untrained: float | None = None
    """Validation metric before the first step, where the plan asks for it."""
    best: dict[str, float] = field(default_factory=dict)
    """Step and scores of the best validation."""
    reached: dict[str, float] = field(default_factory=dict)
    """Step, samples and train_seconds at which the target was reached; empty if it was not."""
    final: dict[str, float] = field(default_factory=dict)
    """Scores at the end of training."""
    status: str = Status.COMPLETED.value
    reason: str = ""
    flops_per_step: int | None = None
    attention: list[str] | None = None
    """Names of the attention kernels in use."""
    recorded_samples: int = 0
    recorded_train_seconds: float = 0.0
    """Both as of the latest train record."""
