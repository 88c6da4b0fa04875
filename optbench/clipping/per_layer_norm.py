"""Clipping of each tensor by its own norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.clipping import foreach
from optbench.clipping.base import Clip, ClipReport, gradients_of, report_scales
from optbench.contracts import Problem


class PerLayerNorm(Clip):
    """g_i *= min(1, max_norm / |g_i|) for each tensor i.

    A weight and its bias are two tensors, so the joint norm is at most max_norm times the root of the number of
    tensors. NaN or infinity spoils its own tensor only."""

    def __init__(self, problem: Problem, *, max_norm: float) -> None:
        super().__init__(problem)
        self.max_norm = max_norm

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        gradients = gradients_of(parameters)
        norms = self.reductions.norms(gradients)
        scales = torch.where(norms > self.max_norm, self.max_norm / norms, 1.0)
        foreach.mul_(gradients, scales.unbind())
        return report_scales(norms, scales)
