r"""Shampoo (Gupta, Koren and Singer, 2018, Shampoo: Preconditioned Stochastic Tensor Optimization, arXiv:1802.09568,
algorithm 1), with the moving averages, momentum and grafting of Anil et al. (2020, arXiv:2002.09018).

    L_t     = beta2 L_{t-1} + (1 - beta2) G_t G_t^T;   R_t likewise with G_t^T G_t     (beta2 = 1: plain sums)
    m_t     = beta1 m_{t-1} + (1 - beta1) G_t;         mhat_t = m_t / (1 - beta1^t)
    P_t     = L_t^(-1/4) mhat_t R_t^(-1/4)
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr P_t |A_t| / |P_t|

A_t is Adam's step mhat_t / (sqrt(vhat_t) + 1e-8) ("grafting: adam"); without grafting the last factor is 1. L_0 = R_0 =
eps I; the roots are recomputed every `interval` steps, from the first on. Vectors follow Adam. State: L, R and their
roots (2 (m^2 + n^2) floats), m, v.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, inverse_root
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule

ADAM_EPS = 1e-8


def shampoo(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, left: Tensor, right: Tensor, left_root: Tensor, right_root: Tensor,
    lr: float, betas: tuple[float, float], t: int, eps: float, keep: float, interval: int, grafted: bool,
) -> None:  # fmt: skip
    """Take one step of a matrix in place; left (m, m), right (n, n); keep = 1 - lr * weight_decay."""
    beta1, beta2 = betas
    matrix = as_matrix(g)
    new = 1 - beta2 if beta2 < 1 else 1.0
    left.mul_(beta2).add_(matrix @ matrix.mT, alpha=new)
    right.mul_(beta2).add_(matrix.mT @ matrix, alpha=new)
    if (t - 1) % interval == 0:
        left_root.copy_(inverse_root(left, 4, eps))
        right_root.copy_(inverse_root(right, 4, eps))
    adam = adam_direction(g, m, v, beta1, beta2, t)
    direction = (left_root @ as_matrix(m / (1 - beta1**t)) @ right_root).view_as(theta)
    if grafted:
        direction = direction * (adam.norm() / direction.norm().clamp(min=1e-30))
    theta.mul_(keep).sub_(direction, alpha=lr)


def shampoo_vector(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, betas: tuple[float, float], t: int, eps: float,
    keep: float, interval: int, grafted: bool,
) -> None:  # fmt: skip
    """Take one step of Adam in place, for vectors and scalars."""
    theta.mul_(keep).sub_(adam_direction(g, m, v, *betas, t), alpha=lr)


def adam_direction(g: Tensor, m: Tensor, v: Tensor, beta1: float, beta2: float, t: int) -> Tensor:
    """Update the moments; return Adam's bias-corrected step without the learning rate."""
    second = beta2 if beta2 < 1 else 0.999
    m.lerp_(g, 1 - beta1)
    v.lerp_(g.square(), 1 - second)
    return m / (1 - beta1**t) / ((v / (1 - second**t)).sqrt() + ADAM_EPS)


class Shampoo(RuleOptimizer):
    """A Kronecker-factored preconditioner of full matrices."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        interval: int,
        grafting: str,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "interval": interval, "grafting": grafting})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return Shampoo's rule for matrices, Adam's for vectors."""
        return shampoo if theta.ndim > 1 else shampoo_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return two moments; for a matrix also two factors (eps times the identity) and their roots."""
        state = {"m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}
        if theta.ndim < 2:
            return state
        sides = {"left": as_matrix(theta).shape[0], "right": as_matrix(theta).shape[1]}
        eyes = {name: torch.eye(side, dtype=theta.dtype, device=theta.device) for name, side in sides.items()}
        factors = {name: group["eps"] * eye for name, eye in eyes.items()}
        return {**state, **factors, **{f"{name}_root": eye for name, eye in eyes.items()}}

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, betas, t, eps, 1 - lr * weight_decay, interval, grafted."""
        keep = 1 - group["lr"] * group["weight_decay"]
        return group["lr"], group["betas"], t, group["eps"], keep, group["interval"], group["grafting"] != "none"
