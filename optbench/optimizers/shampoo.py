r"""Shampoo (Gupta, Koren and Singer, 2018, Shampoo: Preconditioned Stochastic Tensor Optimization, arXiv:1802.09568,
algorithm 1), with the moving averages, momentum, grafting and blocks of Anil et al. (2020, arXiv:2002.09018) and Shi et
al. (2023, A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer, arXiv:2309.06497;
github.com/facebookresearch/optimizers).

    L_t     = beta2 L_{t-1} + (1 - beta2) G_t G_t^T;   R_t likewise with G_t^T G_t     (beta2 = 1: plain sums)
    m_t     = beta1 m_{t-1} + (1 - beta1) G_t;         mhat_t = m_t / (1 - beta1^t)
    P_t     = Lhat^(-1/4) mhat_t Rhat^(-1/4);          Lhat = L / (1 - beta2^t) + eps I, likewise Rhat     (beta2 < 1)
    theta_t = (1 - lr weight_decay) theta_{t-1} - lr P_t |A_t| / |P_t|

A_t is Adam's step mhat_t / (sqrt(vhat_t) + 1e-8) ("grafting: adam"); without grafting the last factor is 1. The roots
are computed in step start_preconditioning_step and then every `interval` steps. Until then a grafted step is A_t, one
without grafting mhat_t: the roots begin as identities. Matrices with more than max_preconditioner_dim rows or columns
are split into blocks of at most that many, each with its own factors and norms. Convolutions are flattened to (outputs,
rest), and vectors follow Adam; the official code merges dimensions as long as their product is at most
max_preconditioner_dim, and has a factor for vectors too. State: m, v, and of each m x n block L, R and their roots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack, stacked_matrices
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, at_least_float32, inverse_root, norms
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State, bucketed, elementwise, lerp_

ADAM_EPS, NORM_EPS = 1e-8, 1e-16
Betas = tuple[float, float]
Block = tuple[slice, slice]
"""Rows and columns."""


@bucketed
def shampoo(thetas: list[Tensor], gradients: list[Tensor], ms: list[Tensor], vs: list[Tensor], *given: Any) -> None:
    """Take one step of a bucket of matrices in place.

    `given`: left, right, left root and right root of every block, and the numbers of `hyperparameters`."""
    *state, lr, betas, t, eps, keep, interval, start, grafted, cap = given
    beta1, beta2 = betas
    foreach.lerp_(ms, gradients, 1 - beta1)
    foreach.lerp_(vs, foreach.squares(gradients), 1 - second_beta(beta2))
    wide = at_least_float32(thetas[0][:0]).dtype
    g, mean = stacked_matrices(gradients, wide), stacked_matrices(ms, wide) / (1 - beta1**t)
    adam = adam_direction(mean, stacked_matrices(vs, wide), beta2, t)
    direction = torch.empty_like(mean)
    due = t == start or (t > start and t % interval == 0)
    for number, block in enumerate(blocks(mean.shape[1:], cap)):
        part = (slice(None), *block)
        factors, roots = state[4 * number : 4 * number + 2], state[4 * number + 2 : 4 * number + 4]
        update_factors(factors, g[part], beta2)
        if due:
            renew_roots(factors, roots, 1 - beta2**t if beta2 < 1 else 1.0, eps)
        if grafted and t < start:
            direction[part] = adam[part]
        else:
            p = stack(roots[0]) @ mean[part] @ stack(roots[1])
            direction[part] = p * (norms(adam[part]) / (norms(p) + NORM_EPS)) if grafted else p
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, rows_like(direction, thetas), lr)


@elementwise
def shampoo_vector(
    theta: Tensor, g: Tensor, m: Tensor, v: Tensor, lr: float, betas: Betas, t: int, eps: float, keep: float,
    interval: int, start: int, grafted: bool, cap: int,
) -> None:  # fmt: skip
    """Take one step of Adam in place, for vectors and scalars."""
    lerp_(m, g, 1 - betas[0])
    lerp_(v, g.square(), 1 - second_beta(betas[1]))
    theta.mul_(keep).sub_(adam_direction(m / (1 - betas[0] ** t), v, betas[1], t), alpha=lr)


def second_beta(beta2: float) -> float:
    """Return the decay rate of Adam's second moment."""
    return beta2 if beta2 < 1 else 0.999


def adam_direction(mean: Tensor, v: Tensor, beta2: float, t: int) -> Tensor:
    """Return Adam's step without the learning rate, from the corrected first moment."""
    return mean / ((v / (1 - second_beta(beta2) ** t)).sqrt() + ADAM_EPS)


def update_factors(factors: Sequence[list[Tensor]], g: Tensor, beta2: float) -> None:
    """Add G G^T and G^T G of stacked blocks to their moving averages or sums."""
    for factor, product in zip(factors, (g @ g.mT, g.mT @ g), strict=True):
        if beta2 < 1:
            foreach.lerp_(factor, list(product), 1 - beta2)
        else:
            foreach.sub_(factor, list(product), -1.0)


def renew_roots(factors: Sequence[list[Tensor]], roots: Sequence[list[Tensor]], unbias: float, eps: float) -> None:
    """Set the roots to those of the corrected factors."""
    for factor, root in zip(factors, roots, strict=True):
        foreach.copy_(root, list(inverse_root(stack(factor) / unbias, 4, eps)))


def blocks(shape: Sequence[int], cap: int) -> Iterator[Block]:
    """Yield the blocks of a matrix, at most `cap` rows and columns each."""
    rows, columns = ([slice(at, min(at + cap, side)) for at in range(0, side, cap)] for side in shape)
    yield from ((some, others) for some in rows for others in columns)


class Shampoo(RuleOptimizer):
    """A Kronecker-factored preconditioner of full matrices."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        betas: Betas,
        eps: float,
        weight_decay: float,
        interval: int,
        grafting: str,
        start_preconditioning_step: int | None = None,
        max_preconditioner_dim: int = 1024,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "interval": interval}
        start = interval if start_preconditioning_step is None else start_preconditioning_step
        own = {"grafting": grafting, "start": start, "max_preconditioner_dim": max_preconditioner_dim}
        super().__init__(params, {**defaults, **own})

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return Shampoo's rule for matrices, Adam's for vectors."""
        return shampoo if theta.ndim > 1 else shampoo_vector

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return two moments; for each block of a matrix also two factors of zeros and two roots of identities."""
        state: State = {"m": torch.zeros_like(theta), "v": torch.zeros_like(theta)}
        if theta.ndim < 2:
            return state
        for number, block in enumerate(blocks(as_matrix(theta).shape, group["max_preconditioner_dim"])):
            sides = {name: part.stop - part.start for name, part in zip(("left", "right"), block, strict=True)}
            zeros = {name: at_least_float32(theta.new_zeros(side, side)) for name, side in sides.items()}
            state |= {f"{name}{number}": zero for name, zero in zeros.items()}
            state |= {f"{name}_root{number}": zero.clone().fill_diagonal_(1) for name, zero in zeros.items()}
        return state

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return lr, betas, t, eps, 1 - lr * weight_decay, interval, start, grafted, max_preconditioner_dim."""
        keep, grafted = 1 - group["lr"] * group["weight_decay"], group["grafting"] != "none"
        numbers = group["lr"], tuple(group["betas"]), t, group["eps"], keep, group["interval"], group["start"]
        return *numbers, grafted, group["max_preconditioner_dim"]
