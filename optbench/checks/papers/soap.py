"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Nikhil Vyas, Depen Morwani, Rosie Zhao, Mujin Kwun, Itai Shapira, David Brandfonbrener, Lucas Janson, Sham Kakade
(2024), "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv:2409.11321, Algorithm 3 (the eigenbasis by
Algorithm 4), in the order of the official code (nikhilvyas/SOAP).

    first gradient: L = (1 - s) G G^T, R = (1 - s) G^T G, s = shampoo_beta; QL, QR their eigenvectors by descending
                    eigenvalue; theta does not move, m = v = 0, t stays 0
    afterwards, t = 1, 2, ...:
    m = b1 m + (1 - b1) G                                   in the original space
    G' = QL^T G QR,  m' = QL^T m QR
    v = b2 v + (1 - b2) G'^2                                in the rotated space
    N = QL [m' / (sqrt(v) + eps)] QR^T
    theta <- theta - lr sqrt(1 - b2^t) / (1 - b1^t) N       eps is added before v's bias correction
    theta <- (1 - lr wd) theta                              decay after the step
    L = s L + (1 - s) G G^T,  R = s R + (1 - s) G^T G
    if t % interval = 0, for each side: e = diag(Q^T L Q); reorder the columns of Q, and that axis of v, by
    descending e; Q <- the orthogonal factor of QR(L Q)

The signs of QR's and eigh's columns are not normalised. The result does not depend on them: flipping a column flips
that row of G' and m', leaves v unchanged, and is undone on the way back. The result does depend on the basis chosen for
a repeated eigenvalue. The first R of a wide gradient has a null space of cols - rows dimensions (likewise L of a tall
one); if that exceeds 1, the trajectory depends on the eigh used.
Tensors of more than two dimensions are flattened to (shape[0], -1). With fewer than two, Q stays the identity: AdamW
with the same conventions (first gradient skipped, eps before the bias correction, decay after the step).
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _eigenvectors(M: Array) -> Array:
    return np.linalg.eigh(M)[1][:, ::-1]


def _power_iteration(M: Array, Q: Array) -> tuple[Array, Array]:
    order = np.argsort(-np.diag(Q.T @ M @ Q), kind="stable")
    return np.linalg.qr(M @ Q[:, order])[0], order


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    interval: int,
    shampoo_beta: float,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    s = shampoo_beta
    matrix = theta.ndim >= 2
    rows, cols = (theta.shape[0], int(np.prod(theta.shape[1:]))) if matrix else (1, theta.size)
    m, v = np.zeros((rows, cols)), np.zeros((rows, cols))
    L, R = np.zeros((rows, rows)), np.zeros((cols, cols))
    QL, QR = np.eye(rows), np.eye(cols)
    for t, (g, rate) in enumerate(zip(steps, lr)):  # step 0 only initialises
        G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
        if t > 0:
            m = b1 * m + (1 - b1) * G
            v = b2 * v + (1 - b2) * (QL.T @ G @ QR) ** 2
            N = QL @ ((QL.T @ m @ QR) / (np.sqrt(v) + eps)) @ QR.T
            theta -= rate * np.sqrt(1 - b2**t) / (1 - b1**t) * N.reshape(theta.shape)
            theta *= 1 - rate * weight_decay
        if matrix:
            L = s * L + (1 - s) * G @ G.T
            R = s * R + (1 - s) * G.T @ G
            if t == 0:
                QL, QR = _eigenvectors(L), _eigenvectors(R)
            elif t % interval == 0:
                QL, order = _power_iteration(L, QL)
                v = v[order, :]
                QR, order = _power_iteration(R, QR)
                v = v[:, order]
        yield theta
