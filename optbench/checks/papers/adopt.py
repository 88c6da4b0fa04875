"""ADOPT: Adam that converges with any beta2.

Shohei Taniguchi, Keno Harada, Gouki Minegishi, Yuta Oshima, Seong Cheol Jeong, Go Nagahara, Tomoshi Iiyama, Masahiro
Suzuki, Yusuke Iwasawa, Yutaka Matsuo (2024), "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate",
arXiv:2411.02853, the clipped ADOPT of its later versions.

    first gradient g_0: v_0 = g_0^2, m_0 = 0; theta does not move and does not decay
    afterwards, t = 1, 2, ...:
    m_t = b1 m_{t-1} + (1 - b1) clip(g_t / max(sqrt(v_{t-1}), eps), -c_t, c_t),  c_t = t^clip_power
    theta <- theta - lr (m_t + wd theta)
    v_t = b2 v_{t-1} + (1 - b2) g_t^2

Unlike Adam, the gradient is divided by the second moment of the earlier steps, and the momentum is taken afterwards. No
bias correction. eps is the lower bound of the root, not a summand. t counts the steps that move theta, so the first of
them is clipped at 1. Weight decay is not part of the algorithm; it is decoupled here. (The paper's first version had no
clipping: it started with m equal to the first normalised gradient, and with a larger lower bound in the early steps.)
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, clip_power: float, weight_decay: float
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr)):  # step 0 only sets v
        if t == 0:
            v = g**2
        else:
            m = b1 * m + (1 - b1) * np.clip(g / np.maximum(np.sqrt(v), eps), -(t**clip_power), t**clip_power)
            theta -= rate * (m + weight_decay * theta)
            v = b2 * v + (1 - b2) * g**2
        yield theta
