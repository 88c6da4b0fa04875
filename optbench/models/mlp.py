"""Multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from optbench.contracts import ImageData
from optbench.models.facts import head_size
from optbench.models.roles import mark


class Flat(nn.Flatten):
    """Samples of any shape as rows of numbers: whole numbers become real ones."""

    def forward(self, input: Tensor) -> Tensor:
        """Return inputs (B, ...) as (B, numbers)."""
        return super().forward(input if input.is_floating_point() else input.float())


def build(data: ImageData, *, hidden: list[int]) -> nn.Module:
    """Build a network from inputs (B, *data.sample_shape) to logits (B, classes), or numbers (B, outputs)."""
    widths = [math.prod(data.sample_shape), *hidden]
    layers: list[nn.Module] = [Flat()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    head = nn.Linear(widths[-1], head_size(data))
    mark(head, "head")
    return nn.Sequential(*layers, head)
