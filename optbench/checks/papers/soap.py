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
More than two dimensions: form "per_dimension", the official code's merge_dims=False (its default), has an L and a Q for
each, of G with that dimension first and the rest flattened; "flattened" treats the matrix (shape[0], -1). s = b2 if
shampoo_beta is None. A side above max_precondition_dim keeps Q = I. With fewer than two dimensions all do (the official
precondition_1d=False): AdamW with the same conventions (first gradient skipped, eps before the bias correction, decay
after the step).
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _eigenvectors(M: Array) -> Array:
    return np.linalg.eigh(M)[1][:, ::-1]


def _gram(G: Array, i: int) -> Array:
    others = [axis for axis in range(G.ndim) if axis != i]
    return np.tensordot(G, G, axes=(others, others))


def _turned(X: Array, Qs: dict[int, Array], back: bool) -> Array:
    for i, Q in Qs.items():
        X = np.moveaxis(np.tensordot(Q, X, axes=(1 if back else 0, i)), 0, i)
    return X


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    interval: int,
    shampoo_beta: float | None,
    form: str,
    max_precondition_dim: int,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    s = b2 if shampoo_beta is None else shampoo_beta
    flat = form == "flattened" and theta.ndim > 2
    shape = (theta.shape[0], int(np.prod(theta.shape[1:]))) if flat else theta.shape
    sides = [i for i, side in enumerate(shape) if side <= max_precondition_dim] if theta.ndim > 1 else []
    m, v = np.zeros(shape), np.zeros(shape)
    Ls = {i: np.zeros((shape[i], shape[i])) for i in sides}
    Qs = {i: np.eye(shape[i]) for i in sides}
    for t, (g, rate) in enumerate(zip(steps, lr)):  # step 0 only initialises
        G = np.asarray(g, dtype=np.float64).reshape(shape)
        if t > 0:
            m = b1 * m + (1 - b1) * G
            v = b2 * v + (1 - b2) * _turned(G, Qs, back=False) ** 2
            N = _turned(_turned(m, Qs, back=False) / (np.sqrt(v) + eps), Qs, back=True)
            theta -= rate * np.sqrt(1 - b2**t) / (1 - b1**t) * N.reshape(theta.shape)
            theta *= 1 - rate * weight_decay
        for i in sides:
            Ls[i] = s * Ls[i] + (1 - s) * _gram(G, i)
            if t == 0:
                Qs[i] = _eigenvectors(Ls[i])
            elif t % interval == 0:
                order = np.argsort(-np.diag(Qs[i].T @ Ls[i] @ Qs[i]), kind="stable")
                Qs[i] = np.linalg.qr(Ls[i] @ Qs[i][:, order])[0]
                v = np.take(v, order, axis=i)
        yield theta
