r"""Adafactor (Shazeer and Stern, 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, arXiv:1804.04235,
algorithms 4 and 5).

    beta2_t = 1 - t^(-decay_power)
    R_t, C_t   moving averages, with beta2_t, of the means of g_t^2 + eps1 over columns and over rows
    V_t     = R_t C_t / mean(R_t)                 (a full moving average V_t for vectors and scalars)
    U_t     = g_t / sqrt(V_t);   U_t = U_t / max(1, RMS(U_t) / clip_threshold)
    rho_t   = min(lr, 1 / sqrt(t)),  or lr without relative_step
    alpha_t = max(eps2, RMS(theta_{t-1})) rho_t,  or rho_t without scale_parameter
    M_t     = beta1 M_{t-1} + (1 - beta1) alpha_t U_t,  or alpha_t U_t for beta1 = null
    theta_t = (1 - alpha_t weight_decay) theta_{t-1} - M_t

The schedule scales lr, so a relative step is min(schedule * lr, 1 / sqrt(t)). The paper's warm-up, min(1e-6 t,
1 / sqrt(t)), has this form; torch does the same. Without relative_step lr is the step itself, as in T5X, where the
schedule may be 1 / sqrt(t). The momentum contains the step size, as in the authors' code (mesh-tensorflow), and no bias
correction. The last two dimensions are factored. Defaults: lr 0.01, decay_power 0.8, eps1 1e-30, eps2 1e-3,
clip_threshold 1, no momentum. State: R and C, m + n floats for an m x n matrix; with momentum also M.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.rule import ParamGroup, Rule, lerp_


def adafactor_matrix(
    theta: Tensor, g: Tensor, row: Tensor, column: Tensor, rho: float, new: float, eps1: float, low: float, high: float,
    threshold: float, weight_decay: float,
) -> None:  # fmt: skip
    """Take one step in place.

    row (..., m, 1), column (..., 1, n); new = 1 - beta2_t, rho = rho_t; the scale of theta is within [low, high]."""
    theta.sub_(relative_step(theta, factored(g, row, column, new, eps1), rho, low, high, threshold, weight_decay))


def adafactor_matrix_momentum(
    theta: Tensor, g: Tensor, row: Tensor, column: Tensor, m: Tensor, rho: float, new: float, eps1: float, low: float,
    high: float, threshold: float, weight_decay: float, new1: float,
) -> None:  # fmt: skip
    """Take one step in place along the moving average of the steps; new1 = 1 - beta1."""
    u = factored(g, row, column, new, eps1)
    lerp_(m, relative_step(theta, u, rho, low, high, threshold, weight_decay), new1)
    theta.sub_(m)


def adafactor_vector(
    theta: Tensor, g: Tensor, v: Tensor, rho: float, new: float, eps1: float, low: float, high: float, threshold: float,
    weight_decay: float,
) -> None:  # fmt: skip
    """Take one step of a vector or scalar in place, with a full second moment."""
    theta.sub_(relative_step(theta, full(g, v, new, eps1), rho, low, high, threshold, weight_decay))


def adafactor_vector_momentum(
    theta: Tensor, g: Tensor, v: Tensor, m: Tensor, rho: float, new: float, eps1: float, low: float, high: float,
    threshold: float, weight_decay: float, new1: float,
) -> None:  # fmt: skip
    """Take one step of a vector or scalar in place along the moving average of the steps."""
    lerp_(m, relative_step(theta, full(g, v, new, eps1), rho, low, high, threshold, weight_decay), new1)
    theta.sub_(m)


def factored(g: Tensor, row: Tensor, column: Tensor, new: float, eps1: float) -> Tensor:
    """Return g over the root of the factored second moment, after its update."""
    square = g.square() + eps1
    row.lerp_(square.mean(-1, keepdim=True), new)
    column.lerp_(square.mean(-2, keepdim=True), new)
    return g * (row / row.mean(-2, keepdim=True)).rsqrt() * column.rsqrt()


def full(g: Tensor, v: Tensor, new: float, eps1: float) -> Tensor:
    """Return g over the root of the second moment, after its update."""
    v.lerp_(g.square() + eps1, new)
    return g * v.rsqrt()


def relative_step(
    theta: Tensor, u: Tensor, rho: float, low: float, high: float, threshold: float, weight_decay: float
) -> Tensor:
    """Decay theta; return u, limited to an RMS of `threshold`, times rho and the scale of theta."""
    alpha = rho * theta.square().mean().sqrt().clamp(low, high)
    limit = (u.square().mean().sqrt() / threshold).clamp(min=1.0)
    theta.mul_(1 - alpha * weight_decay)
    return u * (alpha / limit)


class Adafactor(RuleOptimizer):
    """Adam's second moment in sublinear memory; the step is relative to the parameters' scale."""

    shaped = True

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        relative_step: bool,
        scale_parameter: bool,
        beta1: float | None,
        decay_power: float,
        eps1: float,
        eps2: float,
        clip_threshold: float,
        weight_decay: float,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "relative_step": relative_step, "scale_parameter": scale_parameter, "beta1": beta1}
        rest = {"decay_power": decay_power, "eps1": eps1, "eps2": eps2, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, **rest, "clip_threshold": clip_threshold}, engine)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the factored rule for matrices, the full one for vectors, each with or without momentum."""
        if group["beta1"] is None:
            return adafactor_matrix if theta.ndim > 1 else adafactor_vector
        return adafactor_matrix_momentum if theta.ndim > 1 else adafactor_vector_momentum

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return a row and a column of second moments (for a vector, all of them), and the momentum, if any."""
        momentum = {} if group["beta1"] is None else {"m": torch.zeros_like(theta)}
        if theta.ndim < 2:
            return {"v": torch.zeros_like(theta), **momentum}
        return {"row": torch.zeros_like(theta[..., :1]), "column": torch.zeros_like(theta[..., :1, :]), **momentum}

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return rho_t, 1 - beta2_t, eps1, bounds of the scale, threshold, weight decay; with momentum 1 - beta1."""
        rho = min(group["lr"], t**-0.5) if group["relative_step"] else group["lr"]
        scale = (group["eps2"], math.inf) if group["scale_parameter"] else (1.0, 1.0)
        momentum = () if group["beta1"] is None else (1 - group["beta1"],)
        rest = group["clip_threshold"], group["weight_decay"]
        return rho, t ** -group["decay_power"], group["eps1"], *scale, *rest, *momentum
