"""Shampoo with grafting.

Vineet Gupta, Tomer Koren, Yoram Singer (2018), "Shampoo: Preconditioned Stochastic Tensor Optimization",
arXiv:1802.09568, Algorithm 1 (the matrix case). Grafting, momentum and intermittent roots: Rohan Anil, Vineet Gupta,
Tomer Koren, Kevin Regan, Yoram Singer (2020), "Scalable Second Order Optimization for Deep Learning",
arXiv:2002.09018.

    L_t = b2 L_{t-1} + (1 - b2) G G^T,  R_t = b2 R_{t-1} + (1 - b2) G^T G       L_0 = R_0 = eps I
    (b2 = 1, the 2018 paper: L_t = L_{t-1} + G G^T, R_t = R_{t-1} + G^T G; no bias correction of L or R in either)
    m_t = b1 m_{t-1} + (1 - b1) G,  mhat = m_t / (1 - b1^t)
    P_t = L^{-1/4} mhat R^{-1/4}          roots by eigh, eigenvalues at least eps; computed from L_t and R_t in steps
                                          with (t - 1) % interval = 0 and kept in between
    grafting "none":  step = P_t
    grafting "adam":  step = P_t ||a||_F / ||P_t||_F,  a = mhat / (sqrt(vhat) + 1e-8),
                      v_t = b v_{t-1} + (1 - b) G^2, vhat = v_t / (1 - b^t), b = b2 (0.999 if b2 = 1)
    theta <- (1 - lr wd) theta - lr step

Momentum averages the raw gradient, before preconditioning. Tensors of more than two dimensions are flattened to
(shape[0], -1), one matrix without blocking. With fewer than two dimensions the step is Adam's, a, for either grafting.
A zero P_t gives a zero step.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _inverse_fourth_root(M: Array, eps: float) -> Array:
    w, Q = np.linalg.eigh(M)
    return (Q * np.maximum(w, eps) ** -0.25) @ Q.T


def _with_norm_of(P: Array, a: Array) -> Array:
    size = np.linalg.norm(P)
    return P * (np.linalg.norm(a) / size) if size > 0 else P


GRAFTINGS = {"adam": _with_norm_of, "none": lambda P, a: P}


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    interval: int,
    grafting: str,
) -> Trajectory:
    """Yield theta after each step."""
    if grafting not in GRAFTINGS:
        raise ValueError(f"grafting must be one of {', '.join(GRAFTINGS)}, not {grafting!r}")
    b1, b2 = betas
    bv, new = (0.999, 1.0) if b2 == 1 else (b2, 1 - b2)
    matrix = theta.ndim >= 2
    shape = (theta.shape[0], int(np.prod(theta.shape[1:]))) if matrix else theta.shape
    L, R = (eps * np.eye(side) for side in (shape if matrix else (1, 1)))
    L_root, R_root = L, R  # the first step sets both
    m, v = np.zeros(shape), np.zeros(shape)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        G = np.asarray(g, dtype=np.float64).reshape(shape)
        m = b1 * m + (1 - b1) * G
        v = bv * v + (1 - bv) * G**2
        mhat = m / (1 - b1**t)
        step = mhat / (np.sqrt(v / (1 - bv**t)) + 1e-8)
        if matrix:
            L = b2 * L + new * G @ G.T
            R = b2 * R + new * G.T @ G
            if (t - 1) % interval == 0:
                L_root, R_root = _inverse_fourth_root(L, eps), _inverse_fourth_root(R, eps)
            P = L_root @ mhat @ R_root
            step = GRAFTINGS[grafting](P, step)
        theta *= 1 - rate * weight_decay
        theta -= rate * step.reshape(theta.shape)
        yield theta
