"""Multilayer perceptron."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from optbench.contracts import ImageData
from optbench.models.roles import mark


def build(data: ImageData, *, hidden: list[int]) -> nn.Module:
    """Build a network from inputs (B, *data.sample_shape) to logits (B, classes)."""
    widths = [math.prod(data.sample_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    head = nn.Linear(widths[-1], data.classes)
    mark(head, "head")
    return nn.Sequential(*layers, head)
