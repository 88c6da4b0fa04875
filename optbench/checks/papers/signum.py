"""Signum: the sign of a momentum.

Jeremy Bernstein, Yu-Xiang Wang, Kamyar Azizzadenesheli, Anima Anandkumar (2018), "signSGD: Compressed Optimisation for
Non-Convex Problems", arXiv:1802.04434, Algorithm 2.

    m_t = b m_{t-1} + (1 - b) g_t                          m_0 = 0
    theta <- theta - lr (sign(m_t) + wd theta)

No bias correction, because it changes no sign. For the same reason the heavy-ball buffer b m + g gives the same steps
as the average. sign(0) = 0. Weight decay is not part of Algorithm 2; it is decoupled here.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, momentum: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    m = np.zeros_like(theta)
    for g, rate in zip(steps, lr):
        m = momentum * m + (1 - momentum) * g
        theta -= rate * (np.sign(m) + weight_decay * theta)
        yield theta
