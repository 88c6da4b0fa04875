r"""Hyperball: AdamH and MuonH (Wen, Dang, Lyu, Ma and Liang, 2025, Fantastic Pretraining Optimizers and Where to Find
Them II: From Weight Decay to Hyperball Optimization, whenwen.github.io/wd_blog/public/hyperball-part-1.html; the rule
as in the authors' code, adamh.py and muonh.py of levanter.optim, github.com/marin-community/marin).

    u_t     = the step of Adam, m_hat / (sqrt(v_hat) + eps), or of Muon, see muon
    W'      = W_{t-1} - lr |W_{t-1}| u_t / |u_t|
    W_t     = |W_{t-1}| W' / |W'|

|.| is the Frobenius norm: every matrix keeps the norm that it was initialised with, and lr is the angle of a step, so
that there is no weight decay. A matrix that is zero stays zero. This holds for parameters whose role is in `matrices`;
`base` is their step, adam or muon, and a head among them takes Adam's with either. Convolutions are flattened to
(outputs, rest). The other parameters follow Adam with `adam_lr`.

The sizes of the activations must come from elsewhere: the authors' models have gains (RMSNorm) after every matrix. In a
network without gains the head alone can raise the logits, so that it is not among `matrices` by default and adam_lr
matters. The authors also clip the gradient's norm at 1 (here: clip=). State: m and v; b alone for Muon's step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.contracts import Parameter, Problem
from optbench.optimizers.adam import adam_numbers, adamw
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stacked_matrices
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.foreach import Number
from optbench.optimizers.core.groups import check_roles
from optbench.optimizers.core.linear_algebra import norms
from optbench.optimizers.core.newton_schulz import Iteration
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, bucketed
from optbench.optimizers.muon import orthogonalised

LEAST_NORM = 1e-10


@bucketed
def muonh(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], lr: Number, momentum: Number, nesterov: bool,
    iteration: Iteration,
) -> None:  # fmt: skip
    """Take one step of a bucket in place."""
    along_sphere(thetas, orthogonalised(gradients, momenta, momentum, nesterov, False, iteration), lr)


@bucketed
def adamh(
    thetas: list[Tensor], gradients: list[Tensor], ms: list[Tensor], vs: list[Tensor], lr: Number, new1: Number,
    new2: Number, eps: Number,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; new = 1 - beta, eps is multiplied by sqrt(1 - beta2^t)."""
    foreach.lerp_(ms, gradients, new1)
    foreach.lerp_(vs, foreach.squares(gradients), new2)
    along_sphere(thetas, stacked_matrices(ms) / (stacked_matrices(vs).sqrt() + eps), lr)


def along_sphere(thetas: list[Tensor], steps: Tensor, lr: Number) -> None:
    """Move matrices by steps (k, m, n) of length lr times their norms, and restore these norms."""
    before = stacked_matrices(thetas)
    radius, steps = norms(before), steps.to(before.dtype)
    after = before - steps * (radius / norms(steps).clamp(min=LEAST_NORM) * lr)
    foreach.copy_(thetas, rows_like(after * (radius / norms(after).clamp(min=LEAST_NORM)), thetas))


class Hyperball(RuleOptimizer):
    """Adam or Muon with matrices of constant norm; Adam for the rest."""

    def __init__(
        self,
        problem: Problem,
        *,
        base: str,
        lr: float,
        momentum: float,
        nesterov: bool,
        ns_steps: int,
        coefficients: str,
        ns_dtype: str,
        betas: tuple[float, float],
        eps: float,
        matrices: Sequence[str],
        adam_lr: float,
        engine: str = "auto",
    ) -> None:
        check_roles(matrices, "matrices")
        rules: dict[str, list[Tensor]] = {}
        for p in problem.parameters:
            rules.setdefault(rule_name(p, base, matrices), []).append(p.tensor)
        groups = [{"params": rules[r], "rule": r, "lr": adam_lr if r == "rest" else lr} for r in sorted(rules)]
        iteration = {"ns_steps": ns_steps, "coefficients": coefficients, "ns_dtype": ns_dtype}
        muon = {"momentum": momentum, "nesterov": nesterov, **iteration}
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "rule": "rest", **muon}, engine)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of the group."""
        return {"muonh": muonh, "adamh": adamh, "rest": adamw}[group["rule"]]

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return one moment for Muon's step, two for Adam's."""
        return {name: torch.zeros_like(theta) for name in (("b",) if group["rule"] == "muonh" else ("m", "v"))}

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the numbers of the group's rule."""
        if group["rule"] == "muonh":
            iteration = group["coefficients"], group["ns_steps"], group["ns_dtype"]
            return group["lr"], group["momentum"], group["nesterov"], iteration
        step, new1, new2, eps = adam_numbers(group, t)
        return (group["lr"], new1, new2, eps) if group["rule"] == "adamh" else (step, new1, new2, eps, 1.0)


def rule_name(parameter: Parameter, base: str, matrices: Sequence[str]) -> str:
    """Return muonh, adamh or rest."""
    if parameter.tensor.ndim < 2 or parameter.role not in matrices:
        return "rest"
    return "adamh" if parameter.role == "head" else f"{base}h"
