"""The learning rates of an optimizer's groups under a schedule."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from optbench.optimizers.core.interface import Optimizer


def peak_rates(optimizer: Optimizer, factor: float = 1.0) -> list[float | None]:
    """Return `factor` times the learning rate of every group, None for a group without one.

    A group with "peak_lr", whose rule needs its rate as a share of the peak, gets this peak."""
    peaks = [factor * float(group["lr"]) if "lr" in group else None for group in optimizer.param_groups]
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        if "peak_lr" in group:
            group["peak_lr"] = peak
    return peaks


def set_rates(optimizer: Optimizer, peaks: Sequence[float | None], factor: float) -> None:
    """Set the learning rate of every group that has one to `factor` times its peak."""
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        if peak is None:
            continue
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(peak * factor)
        else:
            group["lr"] = peak * factor
