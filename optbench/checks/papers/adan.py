"""Adan: Adam with Nesterov momentum by gradient differences.

Xingyu Xie, Pan Zhou, Huan Li, Zhouchen Lin, Shuicheng Yan (2022), "Adan: Adaptive Nesterov Momentum Algorithm for
Faster Optimizing Deep Models", arXiv:2208.06677, Algorithm 1, with the start and bias correction of the authors' code.

    d_t = g_t - g_{t-1},  d_1 = 0
    m_t = b1 m_{t-1} + (1 - b1) g_t                        m_0 = v_0 = n_0 = 0
    v_t = b2 v_{t-1} + (1 - b2) d_t
    n_t = b3 n_{t-1} + (1 - b3) (g_t + b2 d_t)^2
    mhat = m_t / (1 - b1^t),  vhat = v_t / (1 - b2^t),  nhat = n_t / (1 - b3^t)
    theta <- (theta - lr (mhat + b2 vhat) / (sqrt(nhat) + eps)) / (1 + lr wd)

The betas are decay rates, as in the authors' code: the paper's are 1 minus these (0.02, 0.08, 0.01). The paper starts
at m = g and n = g^2 and does not correct the bias. Here, as in the code, all three moments start at 0 and are
corrected. eps is added to the root of the corrected n. Weight decay is the paper's proximal one: a division after the
step. The paper's restarts are left out, as in the code's step.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, betas: tuple[float, float, float], eps: float, weight_decay: float
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2, b3 = betas
    m, v, n, last = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta), None
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        d = np.zeros_like(theta) if last is None else g - last
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * (g + b2 * d) ** 2
        step = m / (1 - b1**t) + b2 * v / (1 - b2**t)
        theta -= rate * step / (np.sqrt(n / (1 - b3**t)) + eps)
        theta /= 1 + rate * weight_decay
        last = g.copy()  # the caller may write the next gradient into the same array
        yield theta
