"""MARS-AdamW: AdamW on variance-reduced gradients, in the approximate form.

Huizhuo Yuan, Yifeng Liu, Shuang Wu, Xun Zhou, Quanquan Gu (2024), "MARS: Unleashing the Power of Variance Reduction for
Training Large Models", arXiv:2411.10438, Algorithm 2 (MARS-AdamW) with the approximation of section 3: the gradient
of the last step replaces that of the last parameters on the new batch.

    c_t = g_t + gamma b1 / (1 - b1) (g_t - g_{t-1}),  g_0 = g_1
    c_t <- c_t / max(1, ||c_t||)                                per tensor
    m_t = b1 m_{t-1} + (1 - b1) c_t,  v_t = b2 v_{t-1} + (1 - b2) c_t^2         m_0 = v_0 = 0
    mhat = m_t / (1 - b1^t),  vhat = v_t / (1 - b2^t)
    theta <- theta - lr (mhat / (sqrt(vhat) + eps) + wd theta)

The first step has no last gradient. The paper starts with x_1 = x_0, so the difference is zero, hence g_0 = g_1 (also
in timm). The authors' code starts with g_0 = 0, which multiplies an unclipped c_1 by 1 + gamma b1 / (1 - b1). Unless
optimize_1d, tensors that are not 2-D follow AdamW with lr_1d and betas_1d, as in that code; it also has a weight decay
of its own for them, which is left out here.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    gamma: float,
    optimize_1d: bool,
    lr_1d: Rates,
    betas_1d: Betas,
    weight_decay: float,
) -> Trajectory:
    """Yield theta after each step."""
    if theta.ndim != 2 and not optimize_1d:
        yield from adamw(theta, steps, lr=lr_1d, betas=betas_1d, eps=eps, weight_decay=weight_decay)
        return
    b1, b2 = betas
    m, v, last = np.zeros(theta.shape), np.zeros(theta.shape), None
    for t, (given, rate) in enumerate(zip(steps, lr), 1):
        g = np.array(given, dtype=np.float64)  # the caller may reuse its array
        c = g + gamma * b1 / (1 - b1) * (g - (g if last is None else last))
        c = c / max(1.0, np.linalg.norm(c))
        last = g
        m = b1 * m + (1 - b1) * c
        v = b2 * v + (1 - b2) * c**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= rate * (mhat / (np.sqrt(vhat) + eps) + weight_decay * theta)
        yield theta
