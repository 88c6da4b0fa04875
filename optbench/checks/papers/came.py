"""CAME: Adafactor's factored second moment with momentum, and less trust in entries that vary.

Yang Luo, Xiaozhe Ren, Zangwei Zheng, Zhuo Jiang, Xin Jiang, Yang You (2023), "CAME: Confidence-guided Adaptive Memory
Efficient Optimization", arXiv:2307.02047, Algorithm 2, in the form of the authors' code (yangluo7/CAME).

    r_t = b2 r_{t-1} + (1 - b2) mean over columns of (g_t^2 + eps1),  c_t likewise over rows      r_0 = c_0 = 0
    u_t = g_t / sqrt(r_t c_t / mean(r_t)),  u_t <- u_t / max(1, RMS(u_t) / d)
    m_t = b1 m_{t-1} + (1 - b1) u_t                                                               m_0 = 0
    R_t, C_t: the same averages with b3 of the instability (u_t - m_t)^2 + eps2
    theta <- (1 - lr wd) theta - lr m_t / sqrt(R_t C_t / mean(R_t))

The paper writes sums over rows and columns and divides by their total, which is the same. The last two dimensions are
factored; others are batches. A tensor of rank 0 or 1 has v_t = b2 v_{t-1} + (1 - b2) (g_t^2 + eps1), and its step is
lr m_t, without confidence. The paper decays nothing; the code decays first, with lr wd. No bias correction.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


class _Factored:
    """Moving averages of the row and column means of squares; a full average below two dimensions."""

    def __init__(self, beta: float) -> None:
        self.beta, self.parts = beta, [np.array(0.0), np.array(0.0)]

    def root(self, square: Array) -> Array:
        """Add squares and return the root of the averages' approximation."""
        means = [square.mean(axis=-1), square.mean(axis=-2)] if square.ndim > 1 else [square]
        self.parts = [self.beta * old + (1 - self.beta) * new for old, new in zip(self.parts, means)]
        if square.ndim < 2:
            return np.sqrt(self.parts[0])
        row, column = self.parts
        share = row / row.mean(axis=-1, keepdims=True)
        return np.sqrt(share[..., :, None] * column[..., None, :])


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: tuple[float, float, float],
    eps1: float,
    eps2: float,
    clip_threshold: float,
    weight_decay: float,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2, b3 = betas
    moment, instability, m = _Factored(b2), _Factored(b3), np.zeros(theta.shape)
    for g, rate in zip(steps, lr):
        if theta.size:
            u = g / moment.root(g**2 + eps1)
            u = u / max(1.0, float(np.sqrt(np.mean(u**2))) / clip_threshold)
            m = b1 * m + (1 - b1) * u
            trust = instability.root((u - m) ** 2 + eps2) if theta.ndim > 1 else 1.0
            theta *= 1 - rate * weight_decay
            theta -= rate * m / trust
        yield theta
