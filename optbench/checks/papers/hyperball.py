"""Hyperball: Adam's or Muon's step on the sphere of a matrix's initial norm.

Kaiyue Wen, Xingyu Dang, Kaifeng Lyu, Tengyu Ma, Percy Liang (2025), "Fantastic Pretraining Optimizers and Where to Find
Them II: From Weight Decay to Hyperball Optimization", whenwen.github.io/wd_blog/public/hyperball-part-1.html, the first
equation:

    W <- Norm(W - lr Norm(u) ||W_0||) ||W_0||,      Norm(x) = x / ||x||, Frobenius

u: Adam's bias-corrected step, or Muon's orthogonalised momentum (papers/muon.py; its length does not matter here).
Tensors of more than two dimensions are flattened to (shape[0], -1). Fewer than two dimensions: Adam with adam_lr,
without decay. The authors' code uses the norm before the step for ||W_0||, which is the same but for rounding.
"""

from collections.abc import Iterator

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw
from optbench.checks.papers.muon import direction, orthogonal


def _adam(shape: tuple[int, ...], steps: Gradients, betas: Betas, eps: float) -> Iterator[Array]:
    m, v = np.zeros(shape), np.zeros(shape)
    for t, g in enumerate(steps, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        yield m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


def _muon(
    shape: tuple[int, ...], steps: Gradients, momentum: float, nesterov: bool, ns_steps: int, coefficients: str
) -> Iterator[Array]:
    B = np.zeros(shape)
    for g in steps:
        B = momentum * B + (1 - momentum) * g
        U = direction(g, B, momentum, nesterov, cautious=False)
        yield orthogonal(U.reshape(shape[0], -1), ns_steps, coefficients).reshape(shape)


def paper(
    theta: Array,
    steps: Gradients,
    *,
    base: str,
    lr: Rates,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    coefficients: str,
    betas: Betas,
    eps: float,
    adam_lr: Rates,
) -> Trajectory:
    """Yield theta after each step."""
    if theta.ndim < 2 or not theta.size:
        yield from adamw(theta, steps, lr=adam_lr, betas=betas, eps=eps, weight_decay=0.0)
        return
    updates = {
        "adam": _adam(theta.shape, steps, betas, eps),
        "muon": _muon(theta.shape, steps, momentum, nesterov, ns_steps, coefficients),
    }
    radius = np.linalg.norm(theta)
    for u, rate in zip(updates[base], lr):
        moved = theta - rate * radius * u / max(np.linalg.norm(u), 1e-10)
        theta[...] = radius * moved / max(np.linalg.norm(moved), 1e-10)
        yield theta
