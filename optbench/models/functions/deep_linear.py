"""A deep linear network that learns a linear teacher (Saxe, McClelland and Ganguli, 2014, Exact Solutions to the
Nonlinear Dynamics of Learning in Deep Linear Neural Networks, arXiv:1312.6120): non-convex, with plateaus and saddles.

    f(W_1 .. W_L) = 1/2 |W_L ... W_1 - M|_F^2 = mean over x ~ N(0, I) of 1/2 |W_L ... W_1 x - M x|^2
    f_i: the same at one x_i;   minimum 0

M = U diag(s) V^T with s from 1 to 1 / condition in equal ratios; U, V and the weights are drawn from the run's seed,
the weights from N(0, gain^2 / width). All noise vanishes at the minimum. The weights have the role `matrix`. Weight
decay moves the minimum, so that a gap of 0 requires weight decay 0.

Its distribution: f_i is -log of a Gaussian with mean W_L ... W_1 x_i and covariance I up to a constant.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function
from optbench.models.functions.quadratic import log_spaced, random_rotation


class DeepLinear(Function):
    """f of `depth` square matrices."""

    teacher: Tensor

    def __init__(self, size: int, depth: int, condition: float, gain: float) -> None:
        super().__init__()
        self.width = size
        teacher = random_rotation(size) * log_spaced(size, condition) @ random_rotation(size).T
        self.register_buffer("teacher", teacher, persistent=False)
        layers = [nn.Linear(size, size, bias=False, dtype=torch.float64) for _ in range(depth)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=gain / size**0.5)
        self.layers = nn.Sequential(*layers)

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw "inputs" (B, width)."""
        return {"inputs": counter_rng.normal(seed, index, self.width)}

    def product(self) -> Tensor:
        """Return W_L ... W_1."""
        weights: list[Tensor] = [layer.weight for layer in self.layers if isinstance(layer, nn.Linear)]
        product = weights[0]
        for weight in weights[1:]:
            product = weight @ product
        return product

    def value(self) -> Tensor:
        return 0.5 * (self.product() - self.teacher).square().sum()

    def forward(self, batch: Batch) -> Tensor:
        inputs = batch["inputs"]
        return 0.5 * (self.layers(inputs) - inputs @ self.teacher.T).square().sum()

    def sampled(self, batch: Batch) -> Tensor:
        outputs = self.layers(batch["inputs"])
        targets = outputs.detach() + torch.randn_like(outputs)
        return 0.5 * (outputs - targets).square().sum()


def build(data: DataSet, *, width: int, depth: int, condition: float, gain: float) -> nn.Module:
    """Build the network with its teacher; its inputs are drawn per sample from the data's stream."""
    return DeepLinear(width, depth, condition, gain)
