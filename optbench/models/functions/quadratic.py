"""A convex quadratic with known spectrum and optional Gaussian noise in its gradients.

    f(theta) = 1/2 (theta - theta*)^T A (theta - theta*),   A = Q diag(lambda) Q^T,   minimum 0 at theta*
    f_i(theta) = f(theta) + noise xi_i . theta,   xi_i ~ N(0, I): the gradient is A (theta - theta*) + noise xi_i

lambda runs from 1 to 1 / condition in equal ratios. Q is a random rotation from the run's seed, or I. It starts from 0,
and theta* = Q (1, ..., 1) is one unit away along every eigenvector: f(0) = sum(lambda) / 2.

Its distribution: f is -log of a Gaussian with mean A^(1/2) theta and covariance I up to a constant.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from optbench import counter_rng
from optbench.contracts import Batch, DataSet
from optbench.models.functions.base import Function


class Quadratic(Function):
    """f of `theta` (d,)."""

    roots: Tensor
    rotation: Tensor | None

    def __init__(self, dimension: int, condition: float, rotation: bool, noise: float) -> None:
        super().__init__()
        self.noise, self.width = noise, dimension if noise else 0
        spectrum = log_spaced(dimension, condition)
        self.theta = nn.Parameter(torch.zeros(dimension, dtype=torch.float64))
        self.register_buffer("roots", spectrum.sqrt(), persistent=False)
        self.register_buffer(
            "rotation", random_rotation(dimension).T.contiguous() if rotation else None, persistent=False
        )

    def drawn(self, seed: int, index: Tensor) -> Mapping[str, Tensor]:
        """Draw "slopes" (B, d): noise xi_i."""
        return {"slopes": self.noise * counter_rng.normal(seed, index, len(self.theta))} if self.noise else {}

    def coordinates(self) -> Tensor:
        """Return diag(lambda)^(1/2) Q^T theta: coordinates along the eigenvectors, lambda^(1/2) at the minimum."""
        return self.roots * (self.theta if self.rotation is None else torch.mv(self.rotation, self.theta))

    def value(self) -> Tensor:
        error = self.coordinates() - self.roots
        return 0.5 * torch.dot(error, error)

    def forward(self, batch: Batch) -> Tensor:
        exact = super().forward(batch)
        return exact + torch.mv(batch["slopes"], self.theta).sum() if self.noise else exact

    def sampled(self, batch: Batch) -> Tensor:
        means = self.coordinates()
        targets = means.detach() + torch.randn_like(means.expand(len(batch["index"]), -1))
        return 0.5 * (means - targets).square().sum()


def log_spaced(count: int, condition: float) -> Tensor:
    """Return float64 (count,) from 1 down to 1 / condition in equal ratios."""
    exponents = torch.linspace(0, -1, count, dtype=torch.float64)
    return torch.tensor(condition, dtype=torch.float64) ** exponents


def random_rotation(dimension: int) -> Tensor:
    """Draw an orthogonal matrix (d, d) from the uniform (Haar) distribution with torch's global generator."""
    q, r = torch.linalg.qr(torch.randn(dimension, dimension, dtype=torch.float64))
    return q * r.diagonal().sign()


def build(data: DataSet, *, dimension: int, condition: float, rotation: bool, noise: float) -> nn.Module:
    """Build the function; its noise is drawn per sample from the data's stream."""
    return Quadratic(dimension, condition, rotation, noise)
