"""PSGD with a Kronecker-factored whitening preconditioner ("Kron").

Xi-Lin Li (2015), "Preconditioned Stochastic Gradient Descent", arXiv:1512.04202; Xi-Lin Li (2018), "Preconditioner on
Matrix Lie Group for SGD", arXiv:1809.10232 (triangular Kronecker factors, updated by multiplication); Omead
Pooladzandi, Xi-Lin Li (2024), "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners",
arXiv:2402.04553 (gradient whitening). Form of the update as in evanatyourservice/kron_torch.

Preconditioner P = Q^T Q, Q = Q2 (x) Q1 with upper-triangular Q1, Q2, descends E[m^T P m + v^T P^-1 v], v ~ N(0, I),
whose minimum is P = (E[m m^T])^{-1/2}. Each step, with M the bias-corrected momentum and V the given probe:

    m = mu m + (1 - mu) G,  M = m / (1 - mu^t)
    A = Q1 M Q2^T,  B = Q1^-T V Q2^-1                        both with the old Q1 and Q2
    Q1 <- Q1 - precond_lr / max|A A^T + B B^T| * triu(A A^T - B B^T) Q1
    Q2 <- Q2 - precond_lr / max|A^T A + B^T B| * triu(A^T A - B^T B) Q2
    P = Q1^T Q1 M Q2^T Q2                                    with the new Q1 and Q2
    P <- P * min(1, 1.1 / (rms(P) + 1e-12))
    theta <- theta - lr (P + wd theta)

Choices:
* Q1 = Q2 = identity at the start (kron_torch's precond_init_scale = 1), not scaled from the first gradient.
* Every step updates Q, before it is used; there is no update probability and no schedule of it.
* The probe V is handed in beside the gradient, so the run is deterministic.
* The norm is the largest absolute entry, where kron_torch takes a lower bound of the spectral norm. For the positive
  semi-definite sum this is its largest diagonal entry, so with precond_lr < 1 a step multiplies each diagonal entry of
  Q by a factor within 1 +- precond_lr, and Q stays invertible.
* The factors are not rebalanced against each other (kron_torch does so at random, now and then; P is the same).
* Weight decay reaches every parameter (kron_torch: only ndim >= 2), is scaled by lr, and is not clipped.
* More than two dimensions are flattened to (shape[0], -1); kron_torch has one factor per dimension.
* Fewer than two: one diagonal factor q (ones at the start), entry by entry A = q M, B = V / q, P = q^2 M, and
  q <- q - precond_lr / max(A^2 + B^2) (A^2 - B^2) q.
"""

import numpy as np


def paper(theta, steps, *, lr, momentum, weight_decay, precond_lr):
    """Yields theta, changed in place, after each step. theta: float64 array; steps: iterable of (gradient,
    {"probe": V}), both arrays of its shape."""
    if theta.size == 0:  # no largest entry to divide by
        yield from (theta for _ in steps)
        return
    matrix = theta.ndim >= 2
    shape = (theta.shape[0], theta[0].size) if matrix else theta.shape
    if matrix:
        Q1, Q2 = np.eye(shape[0]), np.eye(shape[1])
    else:
        q = np.ones(shape)
    m = np.zeros(shape)
    for t, (g, evidence) in enumerate(steps, 1):
        m = momentum * m + (1 - momentum) * np.asarray(g, dtype=np.float64).reshape(shape)
        M, V = m / (1 - momentum**t), np.asarray(evidence["probe"], dtype=np.float64).reshape(shape)
        if matrix:
            A = Q1 @ M @ Q2.T
            B = np.linalg.solve(Q2.T, np.linalg.solve(Q1.T, V).T).T
            a1, b1, a2, b2 = A @ A.T, B @ B.T, A.T @ A, B.T @ B
            Q1 = Q1 - precond_lr / np.abs(a1 + b1).max() * np.triu(a1 - b1) @ Q1
            Q2 = Q2 - precond_lr / np.abs(a2 + b2).max() * np.triu(a2 - b2) @ Q2
            P = Q1.T @ Q1 @ M @ Q2.T @ Q2
        else:
            a, b = (q * M) ** 2, (V / q) ** 2
            q = q - precond_lr / np.max(a + b) * (a - b) * q
            P = q**2 * M
        P = P * min(1.0, 1.1 / (np.sqrt(np.mean(P**2)) + 1e-12))
        theta -= lr * (P.reshape(theta.shape) + weight_decay * theta)
        yield theta
