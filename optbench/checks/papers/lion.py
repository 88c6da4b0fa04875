"""Lion: the sign of an interpolated momentum, found by program search.

Xiangning Chen, Chen Liang, Da Huang, Esteban Real, Kaiyuan Wang, Yao Liu, Hieu Pham, Xuanyi Dong, Thang Luong, Cho-Jui
Hsieh, Yifeng Lu, Quoc Le (2023), "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675, Algorithm 2.

    c_t = b1 m_{t-1} + (1 - b1) g_t                        m_0 = 0
    theta <- theta - lr (sign(c_t) + wd theta)
    m_t = b2 m_{t-1} + (1 - b2) g_t

c is used for the step only; the momentum itself has the longer memory, b2. No bias correction. sign(0) = 0. The
authors' code decays theta before the step, which gives the same sum.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m = np.zeros_like(theta)
    for g, rate in zip(steps, lr):
        c = b1 * m + (1 - b1) * g
        theta -= rate * (np.sign(c) + weight_decay * theta)
        m = b2 * m + (1 - b2) * g
        yield theta
