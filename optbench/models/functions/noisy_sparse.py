r"""Sparse gradients with heavy-tailed noise: the case for sign methods (Bernstein et al., 2018, signSGD,
arXiv:1802.04434) and for clipping (Zhang et al., 2020, Why are Adaptive Methods Good for Attention Models?,
arXiv:1912.03194: with infinite variance SGD need not converge, and clipped SGD does).

    f(theta) = 1/2 |theta - 1|^2,   minimum 0 at (1, ..., 1), from 0
    f_i(theta) = sum_j b_ij / density (1/2 (theta_j - 1)^2 + noise xi_ij theta_j)

b_ij is 1 with probability `density`, else 0: a coordinate's gradient is present or zero. xi_ij is Student's t with
`freedom` degrees of freedom: its variance is infinite up to 2. Both are unbiased: the mean of f_i is f.

Its distribution: f_i without noise is -log of a Gaussian with mean theta and variance density / b_i.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function


class NoisySparse(Function):
    """f of `theta` (d,)."""

    def __init__(self, dimension: int, density: float, freedom: float, noise: float) -> None:
        super().__init__()
        self.density, self.freedom, self.noise = density, freedom, noise
        self.width = 3 * dimension
        self.theta = nn.Parameter(torch.zeros(dimension, dtype=torch.float64))

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw "weights" (B, d): b_ij / density, and "slopes" (B, d): these times noise xi_ij."""
        dimension = len(self.theta)
        weights = (counter_rng.uniform(seed, index, dimension) < self.density).to(torch.float64) / self.density
        first, second = (counter_rng.uniform(seed, index, dimension, stream) for stream in (1, 2))
        return {"weights": weights, "slopes": weights * self.noise * student_t(first, second, self.freedom)}

    def value(self) -> Tensor:
        return 0.5 * (self.theta - 1).square().sum()

    def forward(self, batch: Batch) -> Tensor:
        squares = 0.5 * (self.theta - 1).square()
        return torch.mv(batch["weights"], squares).sum() + torch.mv(batch["slopes"], self.theta).sum()

    def sampled(self, batch: Batch) -> Tensor:
        weights, theta = batch["weights"], self.theta
        deviation = torch.randn_like(weights) * self.density**0.5
        return 0.5 * (weights * (theta - theta.detach() - deviation).square()).sum()


def student_t(first: Tensor, second: Tensor, freedom: float) -> Tensor:
    """Transform two uniforms in [0, 1) to Student's t: sqrt(n (u^(-2/n) - 1)) cos(2 pi v).

    Bailey, 1994, Polar Generation of Random Variates with the t-Distribution."""
    spread = torch.expm1(-2 / freedom * torch.log1p(-first))
    return torch.sqrt(freedom * spread) * torch.cos(2 * math.pi * second)


def build(data: DataSet, *, dimension: int, density: float, freedom: float, noise: float) -> nn.Module:
    """Build the function; its mask and noise are drawn per sample from the data's stream."""
    return NoisySparse(dimension, density, freedom, noise)
