"""Clipping of each tensor by its own norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.clipping.base import Clip, Clipped, report
from optbench.contracts import Problem


class PerLayerNorm(Clip):
    """g_i *= min(1, max_norm / |g_i|) for each tensor i: a weight and its bias are two, so the joint norm is at most
    max_norm times the root of the number of tensors. A nan or infinity spoils its own tensor only."""

    def __init__(self, problem: Problem, *, max_norm: float) -> None:
        super().__init__(problem)
        self.max_norm = max_norm

    def apply(self, present: Sequence[Tensor], advance: bool) -> Clipped:
        gradients = [parameter.grad for parameter in present]
        norms = self.across.norms(gradients)
        scales = torch.where(norms > self.max_norm, self.max_norm / norms, 1.0)
        torch._foreach_mul_(gradients, scales.unbind())
        return report(norms, scales)
