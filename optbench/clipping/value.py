"""Clipping of each element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_

from optbench.clipping.base import Clip, ClipReport, gradient_norm, gradients_of
from optbench.contracts import Problem


class Value(Clip):
    """Every element is limited to [-max_value, max_value], as in torch.nn.utils.clip_grad_value_; NaN stays NaN."""

    def __init__(self, problem: Problem, *, max_value: float) -> None:
        super().__init__(problem)
        self.max_value = max_value

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        norm = gradient_norm(parameters, self.reductions)
        # aminmax, because the infinity norm takes ten times as long on CPU
        ends = [end for gradient in gradients_of(parameters) if gradient.numel() for end in torch.aminmax(gradient)]
        largest = torch.stack(ends).abs().max() if ends else torch.zeros_like(norm)
        clip_grad_value_(parameters, self.max_value)
        scale = torch.where(norm > 0, gradient_norm(parameters, self.reductions) / norm, 1.0)
        return ClipReport(norm, self.reductions.any_rank(largest > self.max_value), scale)
