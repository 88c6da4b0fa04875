r"""CAME (Luo et al., 2023, CAME: Confidence-guided Adaptive Memory Efficient Optimization, arXiv:2307.02047,
algorithm 2): Adafactor's second moment with a momentum, whose entries move less where they vary more.

    R_t, C_t   moving averages, with beta2, of the means of g_t^2 + eps1 over columns and over rows
    u_t     = g_t / sqrt(R_t C_t / mean(R_t));   u_t = u_t / max(1, RMS(u_t) / clip_threshold)
    m_t     = beta1 m_{t-1} + (1 - beta1) u_t
    P_t, Q_t   moving averages, with beta3, of the means of (u_t - m_t)^2 + eps2 over columns and over rows
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr m_t / sqrt(P_t Q_t / mean(P_t))

A vector or scalar has a full second moment in place of R_t C_t / mean(R_t) and moves by lr m_t, as in the authors'
code. The last two dimensions are factored; no bias is corrected. Defaults: betas (0.9, 0.999, 0.9999), eps1 1e-30, eps2
1e-16, clip_threshold 1. State: m; R, C, P, Q, 2 (m + n) floats for an m x n matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, Rule, lerp_


def came_matrix(
    theta: Tensor, g: Tensor, m: Tensor, row: Tensor, column: Tensor, row2: Tensor, column2: Tensor, lr: float,
    new1: float, new2: float, new3: float, eps1: float, eps2: float, threshold: float, keep: float,
) -> None:  # fmt: skip
    """Take one step in place.

    row, row2 (..., m, 1), column, column2 (..., 1, n); new = 1 - beta, keep = 1 - lr * weight_decay."""
    u = limited(over_root(g, g.square() + eps1, row, column, new2), threshold)
    lerp_(m, u, new1)
    theta.mul_(keep).sub_(over_root(m, (u - m).square() + eps2, row2, column2, new3).mul_(lr))


def came_vector(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, new1: float, new2: float, new3: float, eps1: float,
    eps2: float, threshold: float, keep: float,
) -> None:  # fmt: skip
    """Take one step of a vector or scalar in place, with a full second moment and without confidence."""
    lerp_(v, g.square() + eps1, new2)
    lerp_(m, limited(g * v.rsqrt(), threshold), new1)
    theta.mul_(keep).sub_(m * lr)


def over_root(x: Tensor, square: Tensor, row: Tensor, column: Tensor, new: float) -> Tensor:
    """Average the squares' row and column means in place; return x over the root of their factored average."""
    lerp_(row, square.mean(-1, keepdim=True), new)
    lerp_(column, square.mean(-2, keepdim=True), new)
    return x * (row / row.mean(-2, keepdim=True)).rsqrt() * column.rsqrt()


def limited(u: Tensor, threshold: float) -> Tensor:
    """Return u, scaled down to an RMS of `threshold` if it has more."""
    return u / (u.square().mean().sqrt() / threshold).clamp(min=1.0)


class CAME(RuleOptimizer):
    """A factored second moment, a momentum, and a factored measure of how much to trust it."""

    shaped = True

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: tuple[float, float, float],
        eps1: float,
        eps2: float,
        clip_threshold: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps1": eps1, "eps2": eps2, "clip_threshold": clip_threshold}
        super().__init__(params, {**defaults, "weight_decay": weight_decay}, engine)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the factored rule for matrices, the full one for vectors."""
        return came_matrix if theta.ndim > 1 else came_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return m and two rows and columns of moments; for a vector, m and all second moments."""
        state = {"m": torch.zeros_like(theta)}
        if theta.ndim < 2:
            return {**state, "v": torch.zeros_like(theta)}
        sides = {"row": theta[..., :1], "column": theta[..., :1, :]}
        return {**state, **{f"{name}{n}": torch.zeros_like(side) for n in ("", 2) for name, side in sides.items()}}

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - beta of all three, eps1, eps2, threshold, 1 - lr * weight_decay."""
        lr, new = group["lr"], (1 - beta for beta in group["betas"])
        return lr, *new, group["eps1"], group["eps2"], group["clip_threshold"], 1 - lr * group["weight_decay"]
