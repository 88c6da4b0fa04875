"""PSGD with a Kronecker-factored whitening preconditioner ("Kron").

Xi-Lin Li (2015), "Preconditioned Stochastic Gradient Descent", arXiv:1512.04202; Xi-Lin Li (2018), "Preconditioner on
Matrix Lie Group for SGD", arXiv:1809.10232 (triangular Kronecker factors, updated by multiplication); Omead
Pooladzandi, Xi-Lin Li (2024), "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners",
arXiv:2402.04553 (gradient whitening). Form of the update as in evanatyourservice/kron_torch.

The preconditioner P = Q^T Q, Q = Q2 (x) Q1 with upper-triangular Q1 and Q2, minimises E[m^T P m + v^T P^-1 v] for
v ~ N(0, I). The minimum is P = (E[m m^T])^{-1/2}. Each step, with M the bias-corrected momentum and V the given probe:

    m = mu m + (1 - mu) G,  M = m / (1 - mu^t)
    A = Q1 M Q2^T,  B = Q1^-T V Q2^-1                        both with the old Q1 and Q2
    Q1 <- Q1 - precond_lr / max|A A^T + B B^T| * triu(A A^T - B B^T) Q1
    Q2 <- Q2 - precond_lr / max|A^T A + B^T B| * triu(A^T A - B^T B) Q2
    P = Q1^T Q1 M Q2^T Q2                                    with the new Q1 and Q2
    P <- P * min(1, 1.1 / (rms(P) + 1e-12))
    theta <- theta - lr (P + wd theta)

Choices:
* Q1 = Q2 = identity at the start (kron_torch's precond_init_scale = 1), not scaled from the first gradient.
* Every step updates Q before using it; there is no update probability and no schedule of it.
* The probe V is given with the gradient, so the run is deterministic.
* The norm is the largest absolute entry; kron_torch takes a lower bound of the spectral norm. The sum is positive
  semi-definite, so this is its largest diagonal entry. With precond_lr < 1, a step multiplies each diagonal entry of Q
  by a factor within 1 +- precond_lr, so Q stays invertible.
* The factors are not rebalanced (kron_torch does so at random times; P stays the same).
* Weight decay applies to every parameter (kron_torch: only ndim >= 2), is scaled by lr, and is not clipped.
* More than two dimensions are flattened to (shape[0], -1); kron_torch has one factor per dimension.
* Fewer than two dimensions have one diagonal factor q (ones at the start). Entry by entry A = q M, B = V / q,
  P = q^2 M, and q <- q - precond_lr / max(A^2 + B^2) (A^2 - B^2) q.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Evidence, Rates, Trajectory


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Evidence]],
    *,
    lr: Rates,
    momentum: float,
    weight_decay: float,
    precond_lr: float,
) -> Trajectory:
    """Yield theta after each step. `steps`: (gradient, {"probe": V}), both of theta's shape."""
    if theta.size == 0:  # no largest entry to divide by
        yield from (theta for _ in steps)
        return
    matrix = theta.ndim >= 2
    shape = (theta.shape[0], theta[0].size) if matrix else theta.shape
    q, m = np.ones(shape), np.zeros(shape)
    Q1, Q2 = (np.eye(side) for side in (shape if matrix else (1, 1)))
    for t, ((g, evidence), rate) in enumerate(zip(steps, lr), 1):
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
        theta -= rate * (P.reshape(theta.shape) + weight_decay * theta)
        yield theta
