r"""Dion (Ahn, Xu, Abreu and Langford, 2025, Dion: Distributed Orthonormalized Updates, arXiv:2504.05295, algorithm 1,
as in the authors' code, github.com/microsoft/dion): one power iteration a step approximates the momentum in low rank;
its orthonormal factors are the update, and the momentum keeps what they miss.

For a matrix (m, n) with m >= n, and r = ceil(rank_fraction n):
    B       = M_{t-1} + G_t
    P       = the orthonormal factor of QR(B Q_{t-1})                       (m, r)
    R       = B^T P                                                         (n, r)
    M_t     = B - (1 - momentum) P R^T                                      error feedback
    Q_t     = R with each column divided by its norm + eps                  (n, r); Q_{t-1} where B is zero
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr sqrt(m / n) P Q_t^T

One with m < n is transposed; the factor of lr stays sqrt(m / n).
Q_0 is Gaussian, drawn from the run's seed, the same for matrices of one shape. The authors' code computes P by a
randomised Cholesky QR, which has the same result but for rounding and signs; here it is a Householder QR. Their code
takes matrices only; here convolutions are flattened to (outputs, rest). This holds for parameters whose role is in
`matrices`; the others follow AdamW with `adam_lr` and `adam_betas`. Of the two rules that the authors offer for these,
AdamW is the one without a learning rate of its own for the head. Defaults: momentum 0.95, eps 1e-8. State: M and Q for
matrices, m and v for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack, stacked_matrices
from optbench.optimizers.core.foreach import Number
from optbench.optimizers.core.linear_algebra import at_least_float32
from optbench.optimizers.core.matrix_rules import MatrixRuleOptimizer, kept
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed


@bucketed
def dion(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], bases: list[Tensor], lr: Number,
    momentum: Number, eps: Number, keep: Number,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; a basis is Q, of the smaller side and r; keep = 1 - lr * weight_decay."""
    foreach.add_(momenta, gradients)
    matrices, q = at_least_float32(stacked_matrices(momenta)), at_least_float32(stack(bases))
    rows, columns = matrices.shape[1:]
    b = matrices if rows >= columns else matrices.mT
    p = torch.linalg.qr(b @ q).Q
    r = b.mT @ p
    foreach.sub_(momenta, rows_like(product(p, r, rows < columns), momenta), 1 - momentum)
    norms = torch.linalg.vector_norm(r, dim=1, keepdim=True)
    normed = r / (norms + eps)
    foreach.copy_(bases, rows_like(torch.where(norms.amax(2, keepdim=True) > 0, normed, q), bases))
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, rows_like(product(p, normed, rows < columns), thetas), lr * math.sqrt(rows / columns))


def product(p: Tensor, r: Tensor, transposed: bool) -> Tensor:
    """Return P R^T, or its transpose."""
    return r @ p.mT if transposed else p @ r.mT


class Dion(MatrixRuleOptimizer):
    """Orthonormalised momentum of low rank for matrices, AdamW for the rest."""

    matrix_rule: Rule = staticmethod(dion)

    def __init__(self, problem: Problem, *, momentum: float, rank_fraction: float, eps: float, **settings: Any) -> None:
        super().__init__(problem, **settings)
        self.add_settings(momentum=momentum, rank_fraction=rank_fraction, norm_eps=eps)
        self.probe: Callable[[Tensor], Tensor] = gaussian
        """Draws Q_0 for a tensor of its shape; a check replaces it by one that records."""

    def matrix_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the momentum and Q."""
        side = min(len(theta), math.prod(theta.shape[1:]))
        rank = min(math.ceil(group["rank_fraction"] * side), side)
        return {"momentum": torch.zeros_like(theta), "q": self.probe(theta.new_empty(side, rank))}

    def matrix_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, momentum, eps and 1 - lr * weight_decay."""
        return group["lr"], group["momentum"], group["norm_eps"], kept(group)


def gaussian(like: Tensor) -> Tensor:
    """Return standard normal numbers in a tensor's shape; they follow from the shape and the run's seed."""
    generator = torch.Generator().manual_seed(torch.initial_seed())
    return torch.randn(like.shape, generator=generator).to(like)
