r"""Adafactor (Shazeer and Stern, 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235,
algorithms 4 and 5).

    beta2_t = 1 - t^(-decay_power)
    R_t, C_t   moving averages, with beta2_t, of the means of g_t^2 + eps1 over columns and over rows
    V_t     = R_t C_t / mean(R_t)                 (a full moving average V_t for vectors and scalars)
    U_t     = g_t / sqrt(V_t);   U_t = U_t / max(1, RMS(U_t) / clip_threshold)
    alpha_t = max(eps2, RMS(theta_{t-1})) min(lr, 1 / sqrt(t))
    theta_t = (1 - alpha_t weight_decay) theta_{t-1} - alpha_t U_t

lr caps the relative step: 0.01 in the paper. The last two dimensions are factored. There is no momentum, as in the
paper's main recipe. Defaults: decay_power 0.8, eps1 1e-30, eps2 1e-3, clip_threshold 1. State: R and C, m + n floats
for an m x n matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, Rule


def adafactor_matrix(
    theta: Tensor, g: Tensor, row: Tensor, column: Tensor, rho: float, new: float, eps1: float, eps2: float,
    threshold: float, weight_decay: float,
) -> None:  # fmt: skip
    """Take one step in place.

    row (..., m, 1), column (..., 1, n); new = 1 - beta2_t, rho = min(lr, 1 / sqrt(t))."""
    square = g.square() + eps1
    row.lerp_(square.mean(-1, keepdim=True), new)
    column.lerp_(square.mean(-2, keepdim=True), new)
    u = g * (row / row.mean(-2, keepdim=True)).rsqrt() * column.rsqrt()
    relative_step(theta, u, rho, eps2, threshold, weight_decay)


def adafactor_vector(
    theta: Tensor, g: Tensor, v: Tensor, rho: float, new: float, eps1: float, eps2: float, threshold: float,
    weight_decay: float,
) -> None:  # fmt: skip
    """Take one step of a vector or scalar in place, with a full second moment."""
    v.lerp_(g.square() + eps1, new)
    relative_step(theta, g * v.rsqrt(), rho, eps2, threshold, weight_decay)


def relative_step(theta: Tensor, u: Tensor, rho: float, eps2: float, threshold: float, weight_decay: float) -> None:
    """Move theta by u, limited to an RMS of `threshold`, times rho and the scale of theta."""
    alpha = rho * theta.square().mean().sqrt().clamp(min=eps2)
    limit = (u.square().mean().sqrt() / threshold).clamp(min=1.0)
    theta.mul_(1 - alpha * weight_decay).sub_(u * (alpha / limit))


class Adafactor(RuleOptimizer):
    """Adam's second moment in sublinear memory; the step is relative to the parameters' scale."""

    shaped = True

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        decay_power: float,
        eps1: float,
        eps2: float,
        clip_threshold: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "decay_power": decay_power, "eps1": eps1, "eps2": eps2, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "clip_threshold": clip_threshold}, engine)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the factored rule for matrices, the full one for vectors."""
        return adafactor_matrix if theta.ndim > 1 else adafactor_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return a row and a column of second moments; for a vector, all of them."""
        if theta.ndim < 2:
            return {"v": torch.zeros_like(theta)}
        return {"row": torch.zeros_like(theta[..., :1]), "column": torch.zeros_like(theta[..., :1, :])}

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return rho_t, 1 - beta2_t, eps1, eps2, threshold, weight decay."""
        rest = (group[name] for name in ("eps1", "eps2", "clip_threshold", "weight_decay"))
        return min(group["lr"], t**-0.5), t ** -group["decay_power"], *rest
