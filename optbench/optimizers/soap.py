r"""SOAP (Vyas et al., 2024, SOAP: Improving and Stabilizing Shampoo using Adam, arXiv:2409.11321, algorithm 3, with the
authors' code's order of operations).

    L_t, R_t   moving averages (shampoo_beta) of G_t G_t^T and G_t^T G_t, with bases Q_L, Q_R of their eigenvectors
    m_t     = beta1 m_{t-1} + (1 - beta1) G_t;                      m'_t = Q_L^T m_t Q_R
    v_t     = beta2 v_{t-1} + (1 - beta2) (Q_L^T G_t Q_R)^2
    theta_t = theta_{t-1} - lr Q_L (Adam's step from m'_t and v_t) Q_R^T, then theta_t *= 1 - lr weight_decay

The first step only fills L, R and the bases; t = 1 in the first step that moves. Every `interval` steps the bases take
one step of power iteration, orthogonalised by QR. Vectors follow AdamW. Convolutions are flattened to (outputs, rest).
State: m, v and 2 (m^2 + n^2) floats for an m x n matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, at_least_float32, eigen
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule


def soap(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, left: Tensor, right: Tensor, left_basis: Tensor,
    right_basis: Tensor, lr: float, betas: tuple[float, float], t: int, eps: float, keep: float, shampoo_beta: float,
    interval: int,
) -> None:  # fmt: skip
    """Take one step of a matrix in place.

    v (m, n) is in the bases' coordinates, m in the original space; t counts moving steps."""
    matrix = as_matrix(g)
    m.lerp_(g, 1 - betas[0])
    v.lerp_((left_basis.mT @ matrix @ right_basis).square(), 1 - betas[1])
    step = adam_step(left_basis.mT @ as_matrix(m) @ right_basis, v, betas, t, eps)
    theta.sub_((left_basis @ step @ right_basis.mT).view_as(theta), alpha=lr).mul_(keep)
    update_factors(matrix, left, right, shampoo_beta)
    if t % interval == 0:
        power_iteration(left, left_basis, v, 0)
        power_iteration(right, right_basis, v, 1)


def soap_first(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, left: Tensor, right: Tensor, left_basis: Tensor,
    right_basis: Tensor, lr: float, betas: tuple[float, float], t: int, eps: float, keep: float, shampoo_beta: float,
    interval: int,
) -> None:  # fmt: skip
    """Take the first step: set the factors and their eigenvectors, largest eigenvalue first."""
    update_factors(as_matrix(g), left, right, shampoo_beta)
    for factor, basis in ((left, left_basis), (right, right_basis)):
        basis.copy_(eigen(factor)[1].flip(1))


def soap_vector(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, betas: tuple[float, float], t: int, eps: float,
    keep: float, shampoo_beta: float, interval: int,
) -> None:  # fmt: skip
    """Take one step of AdamW in place, for vectors and scalars."""
    m.lerp_(g, 1 - betas[0])
    v.lerp_(g.square(), 1 - betas[1])
    theta.sub_(adam_step(m, v, betas, t, eps), alpha=lr).mul_(keep)


def skip(theta: Tensor, *rest: object) -> None:
    """Take the first step of a vector: do nothing."""


def adam_step(m: Tensor, v: Tensor, betas: tuple[float, float], t: int, eps: float) -> Tensor:
    """Return Adam's step; eps is added to the uncorrected root, as in the authors' code."""
    return m / (v.sqrt() + eps) * (math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t))


def update_factors(matrix: Tensor, left: Tensor, right: Tensor, beta: float) -> None:
    """Update the moving averages of G G^T and G^T G."""
    left.lerp_(matrix @ matrix.mT, 1 - beta)
    right.lerp_(matrix.mT @ matrix, 1 - beta)


def power_iteration(factor: Tensor, basis: Tensor, v: Tensor, dim: int) -> None:
    """Take one power iteration of a basis; sort its columns, and v, by falling estimated eigenvalue."""
    order = torch.einsum("ij,ik,kj->j", basis, factor, basis).argsort(descending=True)
    v.copy_(v.index_select(dim, order))
    basis.copy_(torch.linalg.qr(at_least_float32(factor @ basis[:, order]))[0])


class SOAP(RuleOptimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        interval: int,
        shampoo_beta: float,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "interval": interval, "shampoo_beta": shampoo_beta})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule for matrices (rotated) or vectors (AdamW); the first step moves nothing."""
        if theta.ndim > 1:
            return soap_first if t == 1 else soap
        return skip if t == 1 else soap_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return two moments; for a matrix also the two factors and their bases."""
        if theta.ndim < 2:
            return {"m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}
        rows, columns = as_matrix(theta).shape
        zeros = {"left": rows, "right": columns, "left_basis": rows, "right_basis": columns}
        squares = {name: theta.new_zeros(side, side) for name, side in zeros.items()}
        return {"m": torch.zeros_like(theta), "v": torch.zeros_like(as_matrix(theta)), **squares}

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, betas, moving steps, eps, 1 - lr * weight_decay, shampoo_beta, interval."""
        keep = 1 - group["lr"] * group["weight_decay"]
        return group["lr"], group["betas"], t - 1, group["eps"], keep, group["shampoo_beta"], group["interval"]
