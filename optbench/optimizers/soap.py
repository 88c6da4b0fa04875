r"""SOAP (Vyas et al., 2024, SOAP: Improving and Stabilizing Shampoo using Adam, arXiv:2409.11321, algorithm 3, with the
authors' code's order of operations, github.com/nikhilvyas/SOAP).

For a matrix:
    L_t, R_t   moving averages (shampoo_beta) of G_t G_t^T and G_t^T G_t, with bases Q_L, Q_R of their eigenvectors
    G'_t    = Q_L^T G_t Q_R
    m'_t    = beta1 m'_{t-1} + (1 - beta1) G'_t
    v_t     = beta2 v_{t-1} + (1 - beta2) G'_t^2
    theta_t = theta_{t-1} - lr Q_L (Adam's step from m'_t and v_t) Q_R^T, then theta_t *= 1 - lr weight_decay

The first step only fills L, R and the bases; t = 1 in the first step that moves. Every `interval` steps the bases take
one step of power iteration, orthogonalised by QR, and m' is turned into the new ones. Vectors follow AdamW.

Tensors of more than two dimensions: form "per_dimension" (the authors' code) has a factor and a basis for each
dimension; "flattened" makes them matrices (first, rest), whose factors see what dimensions have to do with each other,
at the cost of large squares. A side of more than max_precondition_dim entries has no factor: its basis is the identity.
State: m', v and 2 n^2 floats for each side of n entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import at_least_float32, eigen, rotated, unfold
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed, elementwise, lerp_

Betas = tuple[float, float]
Bases = Mapping[int, Tensor]
"""Stacked bases (k, n, n) by dimension; the others have the identity."""


@bucketed
def soap(thetas: list[Tensor], gradients: list[Tensor], ms: list[Tensor], vs: list[Tensor], *given: Any) -> None:
    """Take one step of a bucket of matrices or tensors in place.

    m and v are in the bases' coordinates and in the working shape. `given`: factors and bases of the sides that have
    them, side by side, and the numbers of `hyperparameters`; t counts moving steps."""
    *sides, lr, (beta1, beta2), t, eps, keep, shampoo_beta, interval, cap = given
    dims = preconditioned(ms[0].shape, cap)
    bases = {dim: stack(basis) for dim, basis in zip(dims, sides[1::2], strict=True)}
    tensors = stacked_as(gradients, ms[0].shape)
    g = rotated(tensors, bases)
    foreach.lerp_(ms, rows_like(g, ms), 1 - beta1)
    foreach.lerp_(vs, rows_like(g.square(), vs), 1 - beta2)
    step = adam_step(stack(ms, g.dtype), stack(vs, g.dtype), (beta1, beta2), t, eps)
    foreach.sub_(thetas, rows_like(rotated(step, transposed(bases)), thetas), lr)
    foreach.mul_(thetas, keep)
    update_factors(tensors, dims, sides[::2], shampoo_beta)
    if t % interval == 0:
        turn_bases(dims, bases, sides, ms, vs)


@bucketed
def soap_first(thetas: list[Tensor], gradients: list[Tensor], ms: list[Tensor], vs: list[Tensor], *given: Any) -> None:
    """Take the first step of a bucket: set the factors and their eigenvectors, largest eigenvalue first."""
    *sides, _, _, _, _, _, shampoo_beta, _, cap = given
    dims = preconditioned(ms[0].shape, cap)
    update_factors(stacked_as(gradients, ms[0].shape), dims, sides[::2], shampoo_beta)
    for factor, basis in zip(sides[::2], sides[1::2], strict=True):
        foreach.copy_(basis, list(eigen(stack(factor))[1].flip(-1)))


@elementwise
def soap_vector(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, betas: Betas, t: int, eps: float, keep: float,
    shampoo_beta: float, interval: int, cap: int,
) -> None:  # fmt: skip
    """Take one step of AdamW in place, for vectors and scalars."""
    lerp_(m, g, 1 - betas[0])
    lerp_(v, g.square(), 1 - betas[1])
    theta.sub_(adam_step(m, v, betas, t, eps), alpha=lr).mul_(keep)


def skip(theta: Tensor, *rest: object) -> None:
    """Take the first step of a vector: do nothing."""


def adam_step(m: Tensor, v: Tensor, betas: Betas, t: int, eps: float) -> Tensor:
    """Return Adam's step; eps is added to the uncorrected root, as in the authors' code."""
    return m / (v.sqrt() + eps) * (math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t))


def update_factors(tensors: Tensor, dims: Sequence[int], factors: Sequence[list[Tensor]], beta: float) -> None:
    """Update the moving averages of G G^T, with G unfolded along each side; tensors (k, *shape)."""
    for dim, factor in zip(dims, factors, strict=True):
        rows = unfold(tensors, dim)
        foreach.lerp_(factor, list(rows @ rows.mT), 1 - beta)


def turn_bases(
    dims: Sequence[int], bases: Bases, sides: Sequence[list[Tensor]], ms: list[Tensor], vs: list[Tensor]
) -> None:
    """Take one power iteration of every basis; sort its columns, and v, by falling estimated eigenvalue; turn m."""
    v, new = stack(vs), dict[int, Tensor]()
    for dim, factor in zip(dims, sides[::2], strict=True):
        product = stack(factor) @ bases[dim]
        order = (bases[dim] * product).sum(1).argsort(descending=True)
        v = v.take_along_dim(order.view(len(v), *(-1 if d == dim else 1 for d in range(v.ndim - 1))), dim + 1)
        new[dim] = torch.linalg.qr(product.take_along_dim(order[:, None], 2))[0]
    original = rotated(stack(ms, next(iter(new.values())).dtype), transposed(bases)) if new else stack(ms)
    foreach.copy_(ms, rows_like(rotated(original, new), ms))
    foreach.copy_(vs, rows_like(v, vs))
    for dim, basis in zip(dims, sides[1::2], strict=True):
        foreach.copy_(basis, list(new[dim]))


def transposed(bases: Bases) -> Bases:
    """Return the bases that turn coordinates back."""
    return {dim: basis.mT for dim, basis in bases.items()}


def stacked_as(tensors: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Return tensors in their working shape, stacked (k, *shape), in at least float32."""
    return stack(tensors, at_least_float32(tensors[0][:0]).dtype).reshape(-1, *shape)


def working_shape(theta: Tensor, form: str) -> tuple[int, ...]:
    """Return the shape whose dimensions have the factors."""
    return tuple(theta.shape) if form == "per_dimension" else (len(theta), theta[0].numel())


def preconditioned(shape: Sequence[int], cap: int) -> list[int]:
    """Return the dimensions that have a factor; one entry has nothing to turn."""
    return [dim for dim, side in enumerate(shape) if 1 < side <= cap]


class SOAP(RuleOptimizer):
    """Adam in the eigenbasis of Shampoo's preconditioner."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: Betas,
        eps: float,
        weight_decay: float,
        interval: int,
        shampoo_beta: float | None = None,
        form: str = "per_dimension",
        max_precondition_dim: int = 10000,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "interval": interval}
        beta = betas[1] if shampoo_beta is None else shampoo_beta
        own = {"shampoo_beta": beta, "form": form, "max_precondition_dim": max_precondition_dim}
        super().__init__(params, {**defaults, **own})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule for matrices (rotated) or vectors (AdamW); the first step moves nothing."""
        if theta.ndim > 1:
            return soap_first if t == 1 else soap
        return skip if t == 1 else soap_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return two moments; also a factor and a basis of each side that has them."""
        if theta.ndim < 2:
            return {"m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}
        shape = working_shape(theta, group["form"])
        return {"m": theta.new_zeros(shape), "v": theta.new_zeros(shape), **dict(self._sides(theta, shape, group))}

    def _sides(self, theta: Tensor, shape: Sequence[int], group: ParamGroup) -> Iterator[tuple[str, Tensor]]:
        for dim in preconditioned(shape, group["max_precondition_dim"]):
            for name in ("factor", "basis"):
                yield f"{name}{dim}", at_least_float32(theta.new_zeros(shape[dim], shape[dim]))

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, betas, moving steps, eps, 1 - lr * weight_decay, shampoo_beta, interval, max_precondition_dim."""
        keep = 1 - group["lr"] * group["weight_decay"]
        named = (group[name] for name in ("shampoo_beta", "interval", "max_precondition_dim"))
        return group["lr"], tuple(group["betas"]), t - 1, group["eps"], keep, *named
