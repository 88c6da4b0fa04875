r"""PSGD Kron (Li, 2018, Preconditioner on Matrix Lie Group for SGD, arXiv:1809.10232; whitening of gradients:
Pooladzandi and Li, 2024, arXiv:2402.04553), in the form of kron_torch (github.com/evanatyourservice/kron_torch).

    m_t = momentum m_{t-1} + (1 - momentum) g_t;   M = m_t / (1 - momentum^t)
    in a step that updates the factors, with V a fresh Gaussian probe:
        M  += damping mean|M| V
        A   = Q1 M Q2^T;   B = Q1^-T V Q2^-1               Q1 and Q2 upper triangular
        Q1 -= precond_lr / |A A^T + B B^T|  triu(A A^T - B B^T) Q1
        Q2 -= precond_lr / |A^T A + B^T B|  triu(A^T A - B^T B) Q2
    P   = Q1^T Q1 M Q2^T Q2                                with the newest factors
    P  *= min(1, 1.1 / (rms(P) + 1e-12))
    theta_t = theta_{t-1} - lr (P + weight_decay theta_{t-1})

Q^T Q converges to the inverse root of the gradients' second moment. |S| is a lower bound of the spectral norm: the
largest column of S, normalised and multiplied by S twice.

Updates: all tensors in the same steps, with probability p(t) = update_probability exp(-update_decay (t - update_flat)),
at least update_min and at most update_probability. No chance is involved: a step updates once 1 / p steps have passed.
In a share `balance` of the updates, Q1 and Q2 are first scaled to equal largest entries, which leaves P as it is; the
draws are those of kron_torch, Python's random.Random(42).

Shapes: with merge_dims, a tensor of three or more dimensions becomes the matrix (rest, last), or (first, rest) where
columns less rows are fewer there. Otherwise each dimension has a factor. A factor is diagonal for a dimension of one
entry or of more than max_size_triangular, for tensors of fewer than min_ndim_triangular dimensions, and by
memory_save_mode for the largest dimension (one_diag; smart_one_diag: if no other is as large) or for all (all_diag).
Then A A^T becomes the row sums of A^2, and |S| the largest entry.

Beside kron_torch: its divisors are at least 1e-16, otherwise gradients that stay zero would drive the factors to
infinity. Its weight decay leaves vectors out; here `no_decay` decides. State: m, and for each dimension of n entries
n^2 numbers (n if diagonal) in float32, or in precond_dtype.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import Active, RuleOptimizer
from optbench.optimizers.core.linear_algebra import along, at_least_float32, unfold
from optbench.optimizers.core.rule import ParamGroup, Rule, State

Probe = Callable[[Tensor], Tensor]
LARGEST_RMS, RMS_EPS, LEAST_DIVISOR = 1.1, 1e-12, 1e-16
BALANCE_SEED = 42  # kron_torch's


def kron(
    theta: Tensor, g: Tensor, m: Tensor, *given: Any, shape: Sequence[int], probe: Probe | None, balancing: bool,
    momentum_into_precond: bool,
) -> None:  # fmt: skip
    """Take one step in place, as a tensor of this shape; no probe: without an update of the factors.

    `given`: the factors of every dimension, lr, 1 - momentum, 1 - momentum^t, precond_lr, damping, 1 - lr *
    weight_decay."""
    *stored, lr, new, unbias, precond_lr, damping, keep = given
    m.lerp_(g, new)
    factors = [at_least_float32(q) for q in stored]
    mean = m.to(factors[0].dtype).reshape(shape) / unbias
    if balancing and len(shape) > 1:
        factors = balanced(factors)
    if probe is not None:
        v = probe(theta).to(mean.dtype).reshape(shape)
        source = mean if momentum_into_precond else g.to(mean.dtype).reshape(shape)
        source = source + damping * source.abs().mean() * v
        mean = source if momentum_into_precond else mean
        factors = updated(factors, source, v, precond_lr)
        for kept, q in zip(stored, factors, strict=True):
            kept.copy_(q)
    descend(theta, functools.reduce(twice, enumerate(factors), mean), lr, keep)


def updated(factors: Sequence[Tensor], mean: Tensor, v: Tensor, precond_lr: float) -> list[Tensor]:
    """Return the factors after a step on the group of triangular matrices, towards A A^T = B B^T in each dimension."""
    a, b = mean, v
    for dim, q in enumerate(factors):
        a, b = times(q, a, dim), divided(q, b, dim)
    return [whitened(q, unfold(a[None], dim)[0], unfold(b[None], dim)[0], precond_lr) for dim, q in enumerate(factors)]


def whitened(q: Tensor, a: Tensor, b: Tensor, precond_lr: float) -> Tensor:
    """Return one factor after its step, from A and B unfolded along its dimension."""
    if q.ndim == 1:
        a, b = a.square().sum(1), b.square().sum(1)
        return q - (precond_lr / (a + b).max().clamp(min=LEAST_DIVISOR)) * (a - b) * q
    a, b = a @ a.mT, b @ b.mT
    return q - (precond_lr / spectral_bound(a + b).clamp(min=LEAST_DIVISOR)) * (a - b).triu() @ q


def spectral_bound(matrix: Tensor) -> Tensor:
    """Return a lower bound of a symmetric matrix's spectral norm, a scalar; 0 for zeros."""
    largest = matrix.abs().max()
    scaled = matrix / largest
    column = scaled.index_select(1, scaled.square().sum(0).argmax())[:, 0] @ scaled
    bound = (scaled @ (column / column.norm())).norm() * largest
    return torch.where(largest > 0, bound, largest)


def balanced(factors: Sequence[Tensor]) -> list[Tensor]:
    """Return the factors with equal largest entries and the same product of them."""
    largest = torch.stack([q.abs().max() for q in factors])
    scales = largest.log().mean().exp() / largest
    return [q * scale for q, scale in zip(factors, scales, strict=True)]


def times(q: Tensor, tensor: Tensor, dim: int) -> Tensor:
    """Return Q applied to one dimension; a vector q stands for diag(q)."""
    return along(q, tensor, dim) if q.ndim > 1 else tensor * as_diagonal(q, tensor, dim)


def divided(q: Tensor, tensor: Tensor, dim: int) -> Tensor:
    """Return Q^-T applied to one dimension."""
    if q.ndim == 1:
        return tensor / as_diagonal(q, tensor, dim)
    moved = tensor.movedim(dim, 0)
    solved = torch.linalg.solve_triangular(q.mT, unfold(tensor[None], dim)[0], upper=False)
    return solved.reshape(moved.shape).movedim(0, dim)


def twice(tensor: Tensor, factor: tuple[int, Tensor]) -> Tensor:
    """Return Q^T Q applied to the dimension of a factor (dim, Q)."""
    dim, q = factor
    return times(q.mT if q.ndim > 1 else q, times(q, tensor, dim), dim)


def as_diagonal(q: Tensor, tensor: Tensor, dim: int) -> Tensor:
    """Return a vector in the shape that multiplies a tensor along one dimension."""
    return q.view(-1, *[1] * (tensor.ndim - 1 - dim))


def descend(theta: Tensor, direction: Tensor, lr: float, keep: float) -> None:
    """Step along P, with its root mean square limited."""
    rms = direction.square().mean().sqrt()
    direction = direction * (LARGEST_RMS / (rms + RMS_EPS)).clamp(max=1.0)
    theta.mul_(keep).sub_(direction.reshape(theta.shape), alpha=lr)


def working_shape(shape: Sequence[int], merge_dims: bool) -> tuple[int, ...]:
    """Return the shape that the factors belong to: one for each of its dimensions."""
    if len(shape) < 3 or not merge_dims:
        return tuple(shape) or (1,)
    size, first, last = math.prod(shape), shape[0], shape[-1]
    tall, wide = (size // last, last), (first, size // first)
    return tall if tall[1] - tall[0] <= wide[1] - wide[0] else wide


def diagonal_dims(shape: Sequence[int], group: ParamGroup) -> list[bool]:
    """Return True for each dimension whose factor is diagonal."""
    mode, sides = group["memory_save_mode"], sorted(shape)
    largest = max(range(len(shape)), key=lambda dim: (shape[dim], dim))  # the last of the largest ones
    saves = mode == "one_diag" or (mode == "smart_one_diag" and len(shape) > 1 and sides[-1] > sides[-2])
    few, cap = len(shape) < group["min_ndim_triangular"], group["max_size_triangular"]
    return [
        few or side == 1 or side > cap or mode == "all_diag" or (saves and dim == largest)
        for dim, side in enumerate(shape)
    ]


def update_probability(group: ParamGroup, step: int) -> float:
    """Return the share of steps that update the factors, around a step (from 0)."""
    most = group["update_probability"]
    return max(min(most, most * math.exp(-group["update_decay"] * (step - group["update_flat"]))), group["update_min"])


class PSGDKron(RuleOptimizer):
    """Gradients whitened by triangular Kronecker factors."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        precond_lr: float,
        precond_init_scale: float = 1.0,
        precond_dtype: str | None = None,
        damping: float = 3.4526698e-4,
        momentum_into_precond: bool = True,
        update_probability: float = 1.0,
        update_min: float = 0.03,
        update_decay: float = 1e-3,
        update_flat: int = 500,
        balance: float = 0.01,
        merge_dims: bool = True,
        max_size_triangular: int = 8192,
        min_ndim_triangular: int = 2,
        memory_save_mode: str | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "params", "__class__")}
        super().__init__(params, {**given, "steps": 0, "waited": 0})
        self.probe: Probe = torch.randn_like
        """Draws V for a tensor; a check replaces it by one that records."""
        self.updating, self.balancing = True, False
        self._draws, self._drawn = random.Random(BALANCE_SEED), 0

    def before_step(self, active: list[Active]) -> None:
        """Decide for all tensors whether this step updates the factors, and whether it balances them first.

        The first group counts the steps so far and those since the last update, so that a checkpoint has them."""
        first = self.param_groups[0]
        step, waited = first["steps"], first["waited"] + 1
        self.updating = waited >= 1 / update_probability(first, step)
        self.balancing = self._draw(step) < first["balance"] and self.updating
        first.update(steps=step + 1, waited=0 if self.updating else waited)

    def _draw(self, step: int) -> float:
        """Return the random number of a step; after a resume, those before it are drawn again."""
        if step < self._drawn:
            self._draws, self._drawn = random.Random(BALANCE_SEED), 0
        for _ in range(step - self._drawn):
            self._draws.random()
        self._drawn = step + 1
        return self._draws.random()

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule with what this step decided."""
        return functools.partial(
            kron,
            shape=working_shape(theta.shape, group["merge_dims"]),
            probe=self.probe if self.updating else None,
            balancing=self.balancing,
            momentum_into_precond=group["momentum_into_precond"],
        )

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the moment, and for each dimension a multiple of the identity."""
        shape = working_shape(theta.shape, group["merge_dims"])
        chosen = group["precond_dtype"]
        dtype = getattr(torch, chosen) if chosen else at_least_float32(theta).dtype
        scale = group["precond_init_scale"] ** (1 / len(shape))
        state: State = {"m": torch.zeros_like(theta)}
        for dim, (side, diagonal) in enumerate(zip(shape, diagonal_dims(shape, group), strict=True)):
            ones = torch.full((side,), scale, dtype=dtype, device=theta.device)
            state[f"q{dim}"] = ones if diagonal else ones.diag()
        return state

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - momentum, 1 - momentum^t, precond_lr, damping, 1 - lr * weight_decay."""
        momentum, keep = group["momentum"], 1 - group["lr"] * group["weight_decay"]
        return group["lr"], 1 - momentum, 1 - momentum**t, group["precond_lr"], group["damping"], keep
