"""Logistic regression with L2: a strongly convex sum over N samples; Newton's method finds its minimum.

    f(w) = mean_i log(1 + exp(-y_i x_i . w)) + l2 / 2 |w|^2;   f_i: one term of the mean, drawn with replacement

x_i ~ N(0, diag(s)^2) with s from 1 to 1 / spread in equal ratios; y_i is 1 with probability sigmoid(x_i . w_t), else
-1, for a teacher w_t of 3 / |s| N(0, I). All are drawn from the run's seed. It starts from 0, where f = log 2.
The gap is f(w) - f(w*), with the gradient at w* below 1e-12: exact up to the rounding of f, about 1e-16.

Its distribution is the likelihood of the labels, without the L2 term.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench import counter_rng
from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function
from optbench.models.functions.quadratic import log_spaced
from optbench.models.roles import mark

TEACHER_LOGIT = 3.0  # about the standard deviation of the teacher's logits: labels neither pure noise nor separable
TOLERANCE = 1e-12  # of the gradient's norm at the minimum
NEWTON_STEPS = 100


class LogisticRegression(Function):
    """f of `layer.weight` (1, d)."""

    width = 1
    inputs: Tensor
    labels: Tensor

    def __init__(self, samples: int, dimension: int, spread: float, l2: float) -> None:
        super().__init__()
        self.l2 = l2
        scales = log_spaced(dimension, spread)
        inputs = torch.randn(samples, dimension, dtype=torch.float64) * scales
        teacher = torch.randn(dimension, dtype=torch.float64) * TEACHER_LOGIT / scales.norm()
        positive = torch.rand(samples, dtype=torch.float64) < torch.sigmoid(inputs @ teacher)
        labels = torch.where(positive, 1.0, -1.0).to(torch.float64)
        self.register_buffer("inputs", inputs, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        self.layer = nn.Linear(dimension, 1, bias=False, dtype=torch.float64)
        nn.init.zeros_(self.layer.weight)
        mark(self.layer.weight, "bias")  # without weight decay, which would move the minimum
        self.minimum = float(objective(minimizer(inputs, labels, l2), inputs, labels, l2))

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw "chosen" (B,): uniform sample numbers."""
        return {"chosen": (counter_rng.uniform(seed, index, 1)[:, 0] * len(self.labels)).to(torch.int64)}

    def value(self) -> Tensor:
        return objective(self.layer.weight[0], self.inputs, self.labels, self.l2)

    def forward(self, batch: Batch) -> Tensor:
        chosen = batch["chosen"]
        margins = self.layer(self.inputs[chosen])[:, 0] * self.labels[chosen]
        return functional.softplus(-margins).sum() + len(chosen) * self.l2 / 2 * self.layer.weight.square().sum()

    def sampled(self, batch: Batch) -> Tensor:
        logits = self.layer(self.inputs[batch["chosen"]])[:, 0]
        chances = torch.sigmoid(logits.detach())
        labels = (torch.rand_like(chances) < chances).to(logits)
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")


def objective(w: Tensor, inputs: Tensor, labels: Tensor, l2: float) -> Tensor:
    """Return f(w) over all samples."""
    return functional.softplus(-labels * (inputs @ w)).mean() + l2 / 2 * torch.dot(w, w)


def minimizer(inputs: Tensor, labels: Tensor, l2: float) -> Tensor:
    """Find w* (d,) by Newton's method with step halving, until the gradient's norm is below TOLERANCE.

    If rounding prevents a smaller value before that, return the last w; its f differs only by rounding."""
    w = torch.zeros(inputs.shape[1], dtype=inputs.dtype)
    for _ in range(NEWTON_STEPS):
        chances = torch.sigmoid(-labels * (inputs @ w))  # of the wrong label
        gradient = -(labels * chances) @ inputs / len(labels) + l2 * w
        if gradient.norm() < TOLERANCE:
            break
        weights = chances * (1 - chances) / len(labels)
        hessian = inputs.T @ (weights[:, None] * inputs) + l2 * torch.eye(len(w), dtype=w.dtype)
        step, before = torch.linalg.solve(hessian, gradient), objective(w, inputs, labels, l2)
        sizes = (2.0**-halvings for halvings in range(30))
        fitting = (size for size in sizes if objective(w - size * step, inputs, labels, l2) <= before)
        w = w - next(fitting, 0.0) * step
    return w


def build(data: DataSet, *, samples: int, dimension: int, spread: float, l2: float) -> nn.Module:
    """Build the regression with its samples; the data's stream draws their numbers."""
    return LogisticRegression(samples, dimension, spread, l2)
