r"""SAM (Foret et al., 2021, Sharpness-Aware Minimization for Efficiently Improving Generalization, arXiv:2010.01412,
algorithm 1, p = 2), on SGD with momentum.

    e       = rho g(theta) / (|g(theta)| + 1e-12)          one norm over all tensors
    g'      = g(theta + e)                                 a second evaluation of the same batch
    b_t     = momentum b_{t-1} + g' + weight_decay theta;  b_0 = 0
    theta_t = theta_{t-1} - lr b_t                         (Nesterov: lr (g' + weight_decay theta + momentum b_t))

Weight decay acts in the base step only, not in e or g'. The weights are restored from a copy, bit for bit. A gradient
that is not finite makes e, and so the weights, NaN, which the next loss shows. Defaults: rho 0.05, momentum 0.9. State:
b; a copy of the weights within a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import at_least_float32
from optbench.optimizers.core.rule import Closure, Hyperparameters, Loss, ParamGroup

NORM_EPS = 1e-12


def sgd(
    theta: Tensor, g: Tensor, b: Tensor, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None:  # fmt: skip
    """Take one base step in place; g is the gradient at theta + e."""
    g = g.add(theta, alpha=weight_decay)
    b.mul_(momentum).add_(g)
    theta.sub_(g.add(b, alpha=momentum) if nesterov else b, alpha=lr)


class SAM(RuleOptimizer):
    """SGD with the gradient at the (approximately) worst point within a distance rho."""

    rule = staticmethod(sgd)
    state_names = ("b",)

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        rho: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "momentum": momentum, "nesterov": nesterov}
        super().__init__(params, {**defaults, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Closure) -> Loss:  # type: ignore[override]  (SAM cannot step without a closure)
        """Take one step: call the closure twice and return the loss at theta."""
        with torch.enable_grad():
            loss = closure()
        with self.perturbed(), torch.enable_grad():
            closure()
        super().step()
        return loss

    @contextmanager
    def perturbed(self) -> Iterator[None]:
        """Hold the weights at theta + e within a block."""
        found = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        copies = [p.clone() for p, _ in found]
        norm = get_total_norm([at_least_float32(p.grad) for p, _ in found])
        for p, group in found:
            p.add_((p.grad * (group["rho"] / (norm + NORM_EPS))).to(p.dtype))
        try:
            yield
        finally:
            with torch.no_grad():
                for (p, _), copy in zip(found, copies, strict=True):
                    p.copy_(copy)

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, momentum, nesterov, weight decay."""
        return tuple(group[name] for name in ("lr", "momentum", "nesterov", "weight_decay"))
