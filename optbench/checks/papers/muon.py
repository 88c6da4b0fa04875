"""Muon: momentum orthogonalised by Newton-Schulz.

Keller Jordan, Yuchen Jin, Vlado Boza, Jiacheng You, Franz Cesista, Laker Newhouse, Jeremy Bernstein (2024),
"Muon: An optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon/ (no arXiv id,
the algorithm is unnumbered). Scale "rms": Jingyuan Liu et al. (2025), "Muon is Scalable for LLM Training" (Moonlight),
arXiv:2502.16982, equation 4.

    B_t = mu B_{t-1} + (1 - mu) G_t                        B_0 = 0, no bias correction
    U_t = (1 - mu) G_t + mu B_t  (Nesterov),  else B_t
    X_0 = U_t / (||U_t||_F + 1e-7)                         transposed first if it has more rows than columns
    X_k = a X + (b A + c A A) X,  A = X X^T                (a, b, c) = (3.4445, -4.7750, 2.0315)
    theta <- (1 - lr wd) theta - lr * factor * O_t         O_t = the last X, transposed back

factor: "original" sqrt(max(1, rows / cols)), "rms" 0.2 sqrt(max(rows, cols)). Tensors of more than two dimensions are
flattened to (shape[0], -1); rows and cols are those of the flattened matrix. (The reference code computes its factor
from the last two dimensions of the unflattened gradient, so it differs for convolutions.) The iteration here runs in
float64. The reference runs it in bfloat16 and loses about two digits.

Fewer than two dimensions: AdamW with adam_lr, adam_betas and adam_eps; the decay is 1 - adam_lr wd.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw


def _newton_schulz(U: Array, steps: int) -> Array:
    a, b, c = 3.4445, -4.7750, 2.0315
    X = U.T if U.shape[0] > U.shape[1] else U
    X = X / (np.linalg.norm(X) + 1e-7)
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if U.shape[0] > U.shape[1] else X


def _matrix(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    weight_decay: float,
    scale: str,
) -> Trajectory:
    if theta.size == 0:  # nothing to orthogonalise
        yield from (theta for _ in steps)
        return
    rows, cols = theta.shape[0], theta[0].size
    factor = {"original": max(1.0, rows / cols) ** 0.5, "rms": 0.2 * max(rows, cols) ** 0.5}[scale]
    B = np.zeros((rows, cols))
    for g, rate in zip(steps, lr):
        G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
        B = momentum * B + (1 - momentum) * G
        U = (1 - momentum) * G + momentum * B if nesterov else B
        step = factor * _newton_schulz(U, ns_steps)
        theta *= 1 - rate * weight_decay
        theta -= rate * step.reshape(theta.shape)
        yield theta


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    scale: str,
    weight_decay: float,
    adam_lr: Rates,
    adam_betas: Betas,
    adam_eps: float,
) -> Trajectory:
    """Yield theta after each step."""
    if theta.ndim < 2:
        yield from adamw(theta, steps, lr=adam_lr, betas=adam_betas, eps=adam_eps, weight_decay=weight_decay)
    else:
        yield from _matrix(
            theta,
            steps,
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            weight_decay=weight_decay,
            scale=scale,
        )
