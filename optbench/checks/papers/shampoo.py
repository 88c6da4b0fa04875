"""Shampoo with grafting.

Vineet Gupta, Tomer Koren, Yoram Singer (2018), "Shampoo: Preconditioned Stochastic Tensor Optimization",
arXiv:1802.09568, Algorithm 1 (the matrix case). Grafting, momentum and intermittent roots: Rohan Anil, Vineet Gupta,
Tomer Koren, Kevin Regan, Yoram Singer (2020), "Scalable Second Order Optimization for Deep Learning",
arXiv:2002.09018. Bias correction, start and blocks as in facebookresearch/optimizers: Shi et al. (2023),
"A Distributed Data-Parallel PyTorch Implementation of the Distributed Shampoo Optimizer", arXiv:2309.06497.

    L_t = b2 L_{t-1} + (1 - b2) G G^T,  R_t = b2 R_{t-1} + (1 - b2) G^T G       L_0 = R_0 = 0
    (b2 = 1, the 2018 paper: L_t = L_{t-1} + G G^T, R_t = R_{t-1} + G^T G)
    m_t = b1 m_{t-1} + (1 - b1) G,  mhat = m_t / (1 - b1^t)
    P_t = L^{-1/4} mhat R^{-1/4}          roots of L_t / (1 - b2^t) + eps I (b2 = 1: of L_t + eps I) by eigh, with all
                                          eigenvalues raised if the least is below eps, so that it is eps; computed in
                                          step `start` and later steps with t % interval = 0; before that, I
    grafting "none":  step = P_t
    grafting "adam":  step = P_t ||a||_F / (||P_t||_F + 1e-16),  a = mhat / (sqrt(vhat) + 1e-8),
                      v_t = b v_{t-1} + (1 - b) G^2, vhat = v_t / (1 - b^t), b = b2 (0.999 if b2 = 1);
                      step = a before `start`
    theta <- (1 - lr wd) theta - lr step

start is start_preconditioning_step, or interval if that is None. Momentum averages the raw gradient, before
preconditioning. Tensors of more than two dimensions are flattened to (shape[0], -1); a matrix with more than
max_preconditioner_dim rows or columns is cut into blocks of that many (the last ones fewer), each of which is a matrix
of its own in all of the above. With fewer than two dimensions the step is Adam's, a, for either grafting (the official
code has one factor there, and merges small dimensions).
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory

GRAFTINGS = ("adam", "none")


def _inverse_fourth_root(M: Array, eps: float) -> Array:
    w, Q = np.linalg.eigh(M + eps * np.eye(len(M)))
    return (Q * (w + max(0.0, eps - w[0])) ** -0.25) @ Q.T


class _Block:
    """The factors of one block, and their roots."""

    def __init__(self, part: Array, eps: float) -> None:
        self.eps = eps
        self.factors = [np.zeros((side, side)) for side in part.shape]
        self.roots = [np.eye(side) for side in part.shape]

    def add(self, G: Array, b2: float) -> None:
        new = 1.0 if b2 == 1 else 1 - b2
        self.factors = [b2 * F + new * X for F, X in zip(self.factors, (G @ G.T, G.T @ G), strict=True)]

    def renew(self, unbias: float) -> None:
        self.roots = [_inverse_fourth_root(F / unbias, self.eps) for F in self.factors]

    def step(self, mean: Array, a: Array, grafted: bool) -> Array:
        P = self.roots[0] @ mean @ self.roots[1]
        return P * (np.linalg.norm(a) / (np.linalg.norm(P) + 1e-16)) if grafted else P


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
    start_preconditioning_step: int | None,
    max_preconditioner_dim: int,
) -> Trajectory:
    """Yield theta after each step."""
    if grafting not in GRAFTINGS:
        raise ValueError(f"grafting must be one of {', '.join(GRAFTINGS)}, not {grafting!r}")
    (b1, b2), cap, start = betas, max_preconditioner_dim, start_preconditioning_step or interval
    bv = 0.999 if b2 == 1 else b2
    matrix = theta.ndim >= 2
    shape = (theta.shape[0], int(np.prod(theta.shape[1:]))) if matrix else theta.shape
    corners = [(i, j) for i in range(0, shape[0], cap) for j in range(0, shape[1], cap)] if matrix else []
    cuts = [(slice(i, i + cap), slice(j, j + cap)) for i, j in corners]
    blocks = [_Block(np.zeros(shape)[cut], eps) for cut in cuts]
    m, v = np.zeros(shape), np.zeros(shape)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        G = np.asarray(g, dtype=np.float64).reshape(shape)
        m = b1 * m + (1 - b1) * G
        v = bv * v + (1 - bv) * G**2
        mean = m / (1 - b1**t)
        step = mean / (np.sqrt(v / (1 - bv**t)) + 1e-8)
        for cut, block in zip(cuts, blocks, strict=True):
            block.add(G[cut], b2)
            if t == start or (t > start and t % interval == 0):
                block.renew(1.0 if b2 == 1 else 1 - b2**t)
            if t >= start or grafting == "none":
                step[cut] = block.step(mean[cut], step[cut], grafting != "none")
        theta *= 1 - rate * weight_decay
        theta -= rate * step.reshape(theta.shape)
        yield theta
