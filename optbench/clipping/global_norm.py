"""Clipping by the joint norm (Pascanu, Mikolov, Bengio, 2013, arXiv:1211.5063)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_

from optbench.clipping.base import Clip, ClipReport, gradient_norm
from optbench.contracts import Problem

EPS = 1e-6  # torch's, in clip_grads_with_norm_


class GlobalNorm(Clip):
    """g *= min(1, max_norm / (|g| + 1e-6)) with the joint L2 norm |g|, as torch.nn.utils.clip_grad_norm_ does.

    A NaN norm makes every element NaN; an infinite norm makes the finite elements 0."""

    def __init__(self, problem: Problem, *, max_norm: float) -> None:
        super().__init__(problem)
        self.max_norm = max_norm

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        norm = gradient_norm(parameters, self.reductions)
        clip_grads_with_norm_(parameters, self.max_norm, norm)
        return ClipReport(norm, norm > self.max_norm, (self.max_norm / (norm + EPS)).clamp(max=1))
