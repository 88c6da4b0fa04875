"""Clipping of each element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_value_

from optbench.clipping.base import Clip, Clipped, gradient_norm
from optbench.contracts import Problem


class Value(Clip):
    """Every element limited to [-max_value, max_value], as torch.nn.utils.clip_grad_value_ does; nan stays nan."""

    def __init__(self, problem: Problem, *, max_value: float) -> None:
        super().__init__(problem)
        self.max_value = max_value

    def apply(self, present: Sequence[Tensor], advance: bool) -> Clipped:
        norm = gradient_norm(present, self.across)
        # not the infinity norm: on CPU it takes ten times as long
        ends = [end for parameter in present if parameter.numel() for end in torch.aminmax(parameter.grad)]
        largest = torch.stack(ends).abs().max() if ends else torch.zeros_like(norm)
        clip_grad_value_(present, self.max_value)
        scale = torch.where(norm > 0, gradient_norm(present, self.across) / norm, 1.0)
        return Clipped(norm, self.across.any_rank(largest > self.max_value), scale)
