"""Dion: updates of low rank by one power iteration of the momentum a step, with error feedback.

Kwangjun Ahn, Byron Xu, Natalie Abreu, John Langford (2025), "Dion: Distributed Orthonormalized Updates",
arXiv:2504.05295, Algorithm 1 with the choices of the authors' code (microsoft/dion, dion_reference.py).

    B_t   = M_{t-1} + G_t                                   M_0 = 0
    P_t   = Orthogonalize(B_t Q_{t-1})                      the Q of a QR decomposition
    R_t   = B_t^T P_t
    M_t   = B_t - (1 - mu) P_t R_t^T
    Q_t   = ColumnNormalize(R_t): each column divided by its Euclidean norm + eps
    theta <- (1 - lr wd) theta - lr sqrt(rows / cols) P_t Q_t^T

for rows >= cols. With fewer rows all is done on the transposes, but for the factor sqrt(rows / cols); the paper and
dion_simple.py transpose nothing. Q_0 (least, r) is given as the probe of the first step; least = min(rows, cols),
r = min(ceil(rank_fraction least), least). While B is zero nothing but the decay changes theta, and Q stays. The signs
of QR's columns do not matter: a flipped column of P flips that of R and Q.

Tensors of more than two dimensions are flattened to (shape[0], -1); the authors' code refuses them. Fewer than two
dimensions: AdamW with adam_lr, adam_betas and adam_eps.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Betas, Evidence, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Evidence]],
    *,
    lr: Rates,
    momentum: float,
    rank_fraction: float,
    eps: float,
    weight_decay: float,
    adam_lr: Rates,
    adam_betas: Betas,
    adam_eps: float,
) -> Trajectory:
    """Yield theta after each step. `steps`: (gradient, {"probe": Q_0}) first, then (gradient, None)."""
    if theta.ndim < 2:
        only = (g for g, _ in steps)
        yield from adamw(theta, only, lr=adam_lr, betas=adam_betas, eps=adam_eps, weight_decay=weight_decay)
        return
    rows, cols = theta.shape[0], theta[0].size
    least = min(rows, cols)
    Q = np.zeros((least, min(int(np.ceil(rank_fraction * least)), least)))
    M = np.zeros((max(rows, cols), least))
    for (g, evidence), rate in zip(steps, lr):
        if evidence:
            Q = np.asarray(evidence["probe"], dtype=np.float64)
        G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
        B = M + (G.T if rows < cols else G)
        theta *= 1 - rate * weight_decay
        if np.any(B):
            P = np.linalg.qr(B @ Q)[0]
            R = B.T @ P
            M = B - (1 - momentum) * P @ R.T
            Q = R / (np.sqrt(np.sum(R**2, axis=0)) + eps)
            step = Q @ P.T if rows < cols else P @ Q.T
            theta -= rate * np.sqrt(rows / cols) * step.reshape(theta.shape)
        yield theta
