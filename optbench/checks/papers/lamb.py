"""LAMB: AdamW with a trust ratio per tensor.

Yang You, Jing Li, Sashank Reddi, Jonathan Hseu, Sanjiv Kumar, Srinadh Bhojanapalli, Xiaodan Song, James Demmel, Kurt
Keutzer, Cho-Jui Hsieh (2020), "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes",
arXiv:1904.00962, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2       m_0 = v_0 = 0
    u_t = mhat / (sqrt(vhat) + eps) + wd theta,  mhat = m_t / (1 - b1^t), vhat = v_t / (1 - b2^t)
    theta <- theta - lr (||theta|| / ||u_t||) u_t          Euclidean norms of the whole tensor

phi, the paper's bound on ||theta||, is the identity (the paper leaves it open). The ratio is 1 if either norm is 0:
otherwise a tensor that starts at 0 would never move. The ratio applies with and without weight decay (apex and timm
disable it at wd = 0), and includes the decay. Both moments are bias-corrected. The gradient is not normalised first
(apex and timm clip its global norm to 1). Every tensor has a ratio.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        u = mhat / (np.sqrt(vhat) + eps) + weight_decay * theta
        size, length = np.sqrt(np.sum(theta**2)), np.sqrt(np.sum(u**2))
        ratio = size / length if size > 0 and length > 0 else 1.0
        theta -= rate * ratio * u
        yield theta
