"""Scion: steps to the far side of a ball in a norm of each layer's own.

Thomas Pethick, Wanyun Xie, Kimon Antonakopoulos, Zhenyu Zhu, Antonio Silveti-Falls, Volkan Cevher (2025), "Training
Deep Learning Models with Norm-Constrained LMOs", arXiv:2502.07529, algorithms 1 (unconstrained) and 2 (Scion), with the
constants of their code (scion.py of github.com/LIONS-EPFL/scion):

    d_t = (1 - alpha) d_{t-1} + alpha g_t                     d_0 = 0; alpha = 1 - momentum
    x_t = (1 - gamma) x_{t-1} + gamma rho lmo(d_t)            Scion
    x_t = x_{t-1} + gamma rho lmo(d_t)                        unconstrained

lmo(s) is the argument of the least <s, x> with ||x|| <= 1, in each layer's norm:

    Spectral      -sqrt(d_out / d_in) U V^T; a first layer's max(1, .); convolutions / k^2   (here: any kernel's size)
    Sign          -sign(s) / d_in
    ColNorm       -column_j / RMS(column_j) / d_in
    RowNorm       -row_i / ||row_i||_2 / sqrt(d_in)
    BiasRMS       -s / RMS(s)

An embedding's matrix is stored transposed, (vocabulary, d_out), and its inputs are one-hot: no division by d_in, and
sqrt(vocabulary) U V^T. `paper` holds for tensors that are no embedding, first layer or head.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory
from optbench.checks.papers.muon import orthogonal

EPS = 1e-8


def lmo(s: Array, norm: str, kind: str, ns_steps: int, coefficients: str) -> Array:
    """Return lmo(s) without its sign, of a "hidden", "first", "head" or "embedding" layer."""
    if kind == "embedding":
        return _one_hot(s.reshape(-1, s.shape[-1]), norm, ns_steps, coefficients).reshape(s.shape)
    flat = s.reshape(len(s), -1)
    d_in = flat.shape[1]
    if norm == "spectral":
        root = np.sqrt(s.shape[0] / s.shape[1])
        scale = max(1.0, root) if kind == "first" and s.ndim == 2 else root / (d_in / s.shape[1])
        found = scale * orthogonal(flat, ns_steps, coefficients)
    elif norm == "sign":
        found = np.sign(flat) / d_in
    elif norm == "column":
        found = np.stack([c / (np.sqrt((c**2).mean()) * d_in + EPS) for c in flat.T], 1)
    else:
        found = np.stack([r / (np.sqrt((r**2).sum() * d_in) + EPS) for r in flat])
    return found.reshape(s.shape)


def _one_hot(table: Array, norm: str, ns_steps: int, coefficients: str) -> Array:
    if norm == "spectral":
        return np.sqrt(len(table)) * orthogonal(table, ns_steps, coefficients)
    if norm == "sign":
        return np.sign(table)
    if norm == "column":
        return np.stack([token / (np.sqrt((token**2).mean()) + EPS) for token in table])
    return np.stack([output / (np.sqrt((output**2).sum()) + EPS) for output in table.T], 1)


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    constrained: bool,
    radius: float,
    hidden_norm: str,
    ns_steps: int,
    coefficients: str,
) -> Trajectory:
    """Yield theta after each step."""
    d = np.zeros_like(theta)
    for g, gamma in zip(steps, lr):
        d = momentum * d + (1 - momentum) * g
        if theta.size == 0:
            move = d
        elif theta.ndim < 2:
            move = d / (np.sqrt((d**2).mean()) + EPS)
        else:
            move = lmo(d, hidden_norm, "hidden", ns_steps, coefficients)
        if constrained:
            theta *= 1 - gamma
        theta -= gamma * radius * move
        yield theta
