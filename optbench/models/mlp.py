"""Multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from optbench.models.roles import mark


def build(*, sample_shape: tuple[int, ...], classes: int, hidden: list[int]) -> nn.Module:
    """A network from inputs (B, *sample_shape) to logits (B, classes)."""
    widths = [math.prod(sample_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    head = nn.Linear(widths[-1], classes)
    mark(head, "head")
    return nn.Sequential(*layers, head)
