r"""Muon (Jordan et al., 2024, Muon: An optimizer for hidden layers in neural networks,
kellerjordan.github.io/posts/muon; scale "rms" from Liu et al., 2025, Muon is Scalable for LLM Training,
arXiv:2502.16982).

    b_t     = momentum b_{t-1} + (1 - momentum) g_t
    u_t     = momentum b_t + (1 - momentum) g_t                     (Nesterov; else b_t)
    O_t     = Newton-Schulz(u_t / |u_t|), `ns_steps` times X <- a X + (b X X^T + c (X X^T)^2) X
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr factor O_t

factor: "original" sqrt(max(1, rows / columns)), "rms" 0.2 sqrt(max(rows, columns)). Convolutions are flattened to
(outputs, rest). This holds for parameters whose role is in `matrices`; the others follow AdamW with `adam_lr` and
`adam_betas`. ns_dtype is the precision of the iteration: bfloat16 in the reference. Defaults: momentum 0.95, ns_steps
5. State: b for matrices, m and v for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.adam import adam_numbers, adamw
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stacked_matrices
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.groups import check_roles, parameter_groups
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, bucketed

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the author's, for the steepest slope at zero


@bucketed
def muon(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], lr: float | Tensor, momentum: float | Tensor,
    nesterov: bool, ns_steps: int, ns_dtype: str, scale: str, keep: float | Tensor,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; keep = 1 - lr * weight_decay."""
    foreach.lerp_(momenta, gradients, 1 - momentum)
    directions = foreach.lerp(gradients, momenta, momentum) if nesterov else momenta
    matrices = stacked_matrices(directions, getattr(torch, ns_dtype))
    rows, columns = matrices.shape[1:]
    factor = math.sqrt(max(1.0, rows / columns)) if scale == "original" else 0.2 * math.sqrt(max(rows, columns))
    steps = rows_like(newton_schulz(matrices, ns_steps), thetas)
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, steps, lr * factor)


def newton_schulz(matrices: Tensor, steps: int) -> Tensor:
    """Return roughly U V^T of the singular value decompositions of matrices (k, m, n)."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices / (torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x.mT @ x if tall else x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, x, polynomial, beta=a) if tall else torch.baddbmm(x, polynomial, x, beta=a)
    return x


class Muon(RuleOptimizer):
    """Orthogonalised momentum for matrices, AdamW for the rest."""

    def __init__(
        self,
        problem: Problem,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        ns_steps: int,
        ns_dtype: str,
        scale: str,
        weight_decay: float,
        matrices: Sequence[str],
        adam_lr: float,
        adam_betas: tuple[float, float],
        adam_eps: float,
        no_decay: Sequence[str],
    ) -> None:
        check_roles(matrices, "matrices")
        chosen = [p for p in problem.parameters if p.role in matrices and p.tensor.ndim > 1]
        rest = [p for p in problem.parameters if not any(p is other for other in chosen)]
        matrix = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "ns_dtype": ns_dtype}
        groups = [
            {**group, "lr": rate, "rule": rule}
            for part, rate, rule in ((chosen, lr, "matrix"), (rest, adam_lr, "rest"))
            if part
            for group in parameter_groups(Problem(tuple(part)), no_decay)
        ]
        adam = {"betas": adam_betas, "eps": adam_eps}
        super().__init__(groups, {**matrix, **adam, "scale": scale, "weight_decay": weight_decay, "rule": "matrix"})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of the group."""
        return {"matrix": muon, "rest": adamw}[group["rule"]]

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return one moment for matrices, two for the rest."""
        names = {"matrix": ("b",), "rest": ("m", "v")}[group["rule"]]
        return {name: torch.zeros_like(theta) for name in names}

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the numbers of the group's rule."""
        keep = 1 - group["lr"] * group["weight_decay"]
        if group["rule"] == "rest":
            return *adam_numbers(group, t), keep
        return *(group[name] for name in ("lr", "momentum", "nesterov", "ns_steps", "ns_dtype", "scale")), keep
