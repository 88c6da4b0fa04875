"""NorMuon: Muon with neuron-wise normalisation.

Zichong Li, Liming Liu, Chen Liang, Weizhu Chen, Tuo Zhao (2025), "NorMuon: Making Muon more efficient and scalable",
arXiv:2510.05491, algorithm 1; scale "original" from the authors' code.

    O_t       Muon's orthogonalised momentum: see papers/muon
    V_t       = beta2 V_{t-1} + (1 - beta2) mean_cols(O_t * O_t)       V_0 = 0, no bias correction
    Ohat_t    = O_t / (sqrt(V_t) + eps), row by row
    theta    <- (1 - lr wd) theta - lr * length * Ohat_t / (||Ohat_t||_F + eps)

length: "rms" (the paper) 0.2 sqrt(rows cols); "original" (their code) ||O_t||_F sqrt(max(1, rows / cols)). Tensors of
more than two dimensions are flattened to (shape[0], -1). (The authors' code takes the last dimension of the unflattened
tensor, so it differs for convolutions.) Fewer than two dimensions: AdamW with adam_lr, adam_betas and adam_eps.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw
from optbench.checks.papers.muon import direction, orthogonal


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    beta2: float,
    nesterov: bool,
    cautious_momentum: bool,
    ns_steps: int,
    coefficients: str,
    scale: str,
    v_eps: float,
    weight_decay: float,
    adam_lr: Rates,
    adam_betas: Betas,
    adam_eps: float,
) -> Trajectory:
    """Yield theta after each step."""
    if theta.ndim < 2:
        yield from adamw(theta, steps, lr=adam_lr, betas=adam_betas, eps=adam_eps, weight_decay=weight_decay)
        return
    rows, cols = theta.shape[0], theta.size // max(1, theta.shape[0])
    B, V = np.zeros((rows, cols)), np.zeros(rows)
    for g, rate in zip(steps, lr):
        if theta.size:
            G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
            B = momentum * B + (1 - momentum) * G
            Q = orthogonal(direction(G, B, momentum, nesterov, cautious_momentum), ns_steps, coefficients)
            V = beta2 * V + (1 - beta2) * (Q**2).sum(1) / cols
            N = (Q.T / (V**0.5 + v_eps)).T
            kept = np.sqrt((Q**2).sum()) * max(1.0, rows / cols) ** 0.5
            length = 0.2 * (rows * cols) ** 0.5 if scale == "rms" else kept
            theta *= 1 - rate * weight_decay
            theta -= rate * length / (np.sqrt((N**2).sum()) + v_eps) * N.reshape(theta.shape)
        yield theta
