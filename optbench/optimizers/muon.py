r"""Muon (Jordan et al., 2024, Muon: An optimizer for hidden layers in neural networks,
kellerjordan.github.io/posts/muon; scale "rms" from Liu et al., 2025, Muon is Scalable for LLM Training,
arXiv:2502.16982).

    b_t     = momentum b_{t-1} + (1 - momentum) g_t
    u_t     = momentum b_t + (1 - momentum) g_t                     (Nesterov; else b_t)
    O_t     = Newton-Schulz(u_t / |u_t|), `ns_steps` times X <- a X + (b X X^T + c (X X^T)^2) X
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr factor O_t

factor: "original" sqrt(max(1, rows / columns)), "rms" 0.2 sqrt(max(rows, columns)). Convolutions are flattened to
(outputs, rest). This holds for parameters whose role is in `matrices`; the others follow AdamW with `adam_lr` and
`adam_betas`. ns_dtype is the precision of the iteration: bfloat16 in the reference. a, b, c: "original", or
"polar_express" (Amsel et al., 2025, arXiv:2505.16932), another triple in each iteration. cautious_momentum: elements of
u_t where b_t and g_t disagree in sign become 0, the others are divided by their share (Liang et al., 2024, Cautious
Optimizers, arXiv:2411.16085, as the authors' c_muon does). Defaults: momentum 0.95, ns_steps 5. State: b for matrices,
m and v for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack, stacked_matrices
from optbench.optimizers.core.foreach import Number
from optbench.optimizers.core.matrix_rules import MatrixRuleOptimizer, kept
from optbench.optimizers.core.newton_schulz import Iteration, newton_schulz
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed


@bucketed
def muon(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], lr: Number, momentum: Number, keep: Number,
    nesterov: bool, cautious_momentum: bool, iteration: Iteration, scale: str,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; keep = 1 - lr * weight_decay."""
    matrices = orthogonalised(gradients, momenta, momentum, nesterov, cautious_momentum, iteration)
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, rows_like(matrices, thetas), lr * shape_factor(matrices, scale))


def orthogonalised(
    gradients: list[Tensor], momenta: list[Tensor], momentum: Number, nesterov: bool, cautious_momentum: bool,
    iteration: Iteration,
) -> Tensor:  # fmt: skip
    """Update the momenta; return their orthogonalised directions (k, m, n)."""
    foreach.lerp_(momenta, gradients, 1 - momentum)
    directions = foreach.lerp(gradients, momenta, momentum) if nesterov else momenta
    if cautious_momentum:
        directions = cautious(directions, momenta, gradients)
    coefficients, steps, dtype = iteration
    return newton_schulz(stacked_matrices(directions, getattr(torch, dtype)), coefficients, steps)


def shape_factor(matrices: Tensor, scale: str) -> float:
    """Return the factor of the learning rate for matrices (k, m, n)."""
    rows, columns = matrices.shape[1:]
    return math.sqrt(max(1.0, rows / columns)) if scale == "original" else 0.2 * math.sqrt(max(rows, columns))


def cautious(directions: Sequence[Tensor], momenta: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    """Return the directions without the elements at which momentum and gradient disagree in sign.

    The others are divided by their share, of which at least 1e-3 is taken."""
    agree = stack(momenta) * stack(gradients) > 0
    shares = agree.flatten(1).to(directions[0].dtype).mean(1).clamp(min=1e-3)
    weights = agree / shares.view(-1, *[1] * directions[0].ndim)
    return list((stack(directions) * weights).unbind())


class Muon(MatrixRuleOptimizer):
    """Orthogonalised momentum for matrices, AdamW for the rest."""

    matrix_rule: Rule = staticmethod(muon)

    def __init__(
        self,
        problem: Problem,
        *,
        momentum: float,
        nesterov: bool,
        cautious_momentum: bool,
        ns_steps: int,
        coefficients: str,
        ns_dtype: str,
        scale: str,
        **settings: Any,
    ) -> None:
        super().__init__(problem, **settings)
        self.add_settings(momentum=momentum, nesterov=nesterov, cautious_momentum=cautious_momentum, scale=scale)
        self.add_settings(ns_steps=ns_steps, coefficients=coefficients, ns_dtype=ns_dtype)

    def matrix_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return one moment."""
        return {"b": torch.zeros_like(theta)}

    def matrix_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, momentum, 1 - lr * weight_decay and the other settings of the rule of matrices."""
        iteration = group["coefficients"], group["ns_steps"], group["ns_dtype"]
        settings = group["nesterov"], group["cautious_momentum"], iteration, group["scale"]
        return group["lr"], group["momentum"], kept(group), *settings
