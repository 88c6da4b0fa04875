"""Shampoo with grafting.

Vineet Gupta, Tomer Koren, Yoram Singer (2018), "Shampoo: Preconditioned Stochastic Tensor Optimization",
arXiv:1802.09568, Algorithm 1 (the matrix case). Grafting, momentum and intermittent roots: Rohan Anil, Vineet Gupta,
Tomer Koren, Kevin Regan, Yoram Singer (2020), "Scalable Second Order Optimization for Deep Learning",
arXiv:2002.09018.

    L_t = b2 L_{t-1} + (1 - b2) G G^T,  R_t = b2 R_{t-1} + (1 - b2) G^T G       L_0 = R_0 = eps I
    (b2 = 1, the 2018 paper: L_t = L_{t-1} + G G^T, R_t = R_{t-1} + G^T G; no bias correction of L or R in either)
    m_t = b1 m_{t-1} + (1 - b1) G,  mhat = m_t / (1 - b1^t)
    P_t = L^{-1/4} mhat R^{-1/4}          roots from eigh, eigenvalues raised to at least eps, taken from L_t and R_t
                                          at the steps with (t - 1) % interval = 0 and kept in between
    grafting "none":  step = P_t
    grafting "adam":  step = P_t ||a||_F / ||P_t||_F,  a = mhat / (sqrt(vhat) + 1e-8),
                      v_t = b v_{t-1} + (1 - b) G^2, vhat = v_t / (1 - b^t), b = b2 (0.999 if b2 = 1)
    theta <- (1 - lr wd) theta - lr step

Momentum is of the raw gradient, before preconditioning. Tensors of more than two dimensions are flattened to
(shape[0], -1), one matrix without blocking. With fewer than two dimensions the step is Adam's own, a, whatever the
grafting. A zero P_t gives a zero step.
"""

import numpy as np


def _inverse_fourth_root(M, eps):
    w, Q = np.linalg.eigh(M)
    return (Q * np.maximum(w, eps) ** -0.25) @ Q.T


def _as_long_as(P, a):
    size = np.linalg.norm(P)
    return P * (np.linalg.norm(a) / size) if size > 0 else P


GRAFTINGS = {"adam": _as_long_as, "none": lambda P, a: P}


def paper(theta, steps, *, lr, betas, eps, weight_decay, interval, grafting):
    """Yields theta, changed in place, after each step. theta: float64 array; steps: iterable of gradients of its
    shape."""
    if grafting not in GRAFTINGS:
        raise ValueError(f"grafting must be one of {', '.join(GRAFTINGS)}, not {grafting!r}")
    b1, b2 = betas
    bv, new = (0.999, 1.0) if b2 == 1 else (b2, 1 - b2)
    matrix = theta.ndim >= 2
    shape = (theta.shape[0], int(np.prod(theta.shape[1:]))) if matrix else theta.shape
    if matrix:
        L, R = eps * np.eye(shape[0]), eps * np.eye(shape[1])
    m, v = np.zeros(shape), np.zeros(shape)
    for t, g in enumerate(steps, 1):
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
        theta *= 1 - lr * weight_decay
        theta -= lr * step.reshape(theta.shape)
        yield theta
