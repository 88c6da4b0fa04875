r"""AdaHessian (Yao et al., 2021, ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning, arXiv:2006.00719,
algorithm 1).

    D_t     = z * H_t z for z with elements +1 or -1, its absolute value averaged over the kernel of a convolution
              (last two dimensions) or the inputs of a matrix (last dimension)
    m_t     = beta1 m_{t-1} + (1 - beta1) g_t
    v_t     = beta2 v_{t-1} + (1 - beta2) D_t^2
    theta_t = (1 - lr weight_decay) theta_{t-1}
              - lr m_t / (1 - beta1^t) / (sqrt(v_t / (1 - beta2^t))^hessian_power + eps)

D_t is estimated every `interval` steps. Defaults: betas (0.9, 0.999), eps 1e-4, hessian_power 1. State: m, v and D.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.contracts import Problem
from optbench.optimizers.core.curvature import curvature_of
from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.every import every_interval
from optbench.optimizers.core.rule import ParamGroup, elementwise, lerp_


@elementwise
def adahessian(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, diagonal: Tensor, step: float, new1: float, new2: float,
    root: float, power: float, eps: float, keep: float,
) -> None:  # fmt: skip
    """Take one step in place.

    step = lr / (1 - beta1^t), root = sqrt(1 - beta2^t), keep = 1 - lr * weight_decay."""
    lerp_(m, g, new1)
    lerp_(v, diagonal.square(), new2)
    theta.mul_(keep).sub_(m / ((v.sqrt() / root).pow(power) + eps) * step)


def spatial_mean(diagonal: Tensor) -> Tensor:
    """Return the absolute value, averaged over a convolution's kernel or a matrix's inputs."""
    dims = (-2, -1) if diagonal.ndim >= 4 else (-1,)
    size = diagonal.abs()
    return size.mean(dims, keepdim=True).expand_as(size) if diagonal.ndim > 1 else size


class AdaHessian(RuleOptimizer):
    """Adam with the Hessian's diagonal in place of the gradient in the second moment."""

    rule = staticmethod(adahessian)
    state_names = ("m", "v", "diagonal")

    def __init__(
        self,
        params: ParamsT,
        *,
        problem: Problem,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        hessian_power: float,
        interval: int,
        engine: str = "auto",
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "interval": interval}
        super().__init__(params, {**defaults, "hessian_power": hessian_power, "steps": 0}, engine)
        self.problem = problem

    def before_step(self, active: list[Active]) -> None:
        """Estimate the Hessian's diagonal if it is due."""
        if not every_interval(self.param_groups) or not active:
            return
        thetas = [theta for theta, _, _ in active]
        probes = [torch.randint_like(theta, 2) * 2 - 1 for theta in thetas]
        with torch.enable_grad():
            products = curvature_of(self.problem).hessian_products(thetas, probes)
        for (_, _, state), z, hz in zip(active, probes, products, strict=True):
            state["diagonal"].copy_(spatial_mean(z * hz))

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return the numbers of the rule."""
        lr, (beta1, beta2) = group["lr"], group["betas"]
        corrections = lr / (1 - beta1**t), 1 - beta1, 1 - beta2, math.sqrt(1 - beta2**t)
        return *corrections, group["hessian_power"], group["eps"], 1 - lr * group["weight_decay"]
