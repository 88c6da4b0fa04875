"""Signum: the sign of a momentum.

Jeremy Bernstein, Yu-Xiang Wang, Kamyar Azizzadenesheli, Anima Anandkumar (2018), "signSGD: Compressed Optimisation for
Non-Convex Problems", arXiv:1802.04434, Algorithm 2.

    m_t = b m_{t-1} + (1 - b) g_t                          m_0 = 0
    theta <- theta - lr (sign(m_t) + wd theta)

No bias correction: it would not change a sign. For the same reason b m + g (the heavy-ball buffer) gives the same
steps as the average. sign(0) = 0. Weight decay is decoupled, and not part of Algorithm 2.
"""

import numpy as np


def paper(theta, steps, *, lr, momentum, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    m = np.zeros_like(theta)
    for g in steps:
        m = momentum * m + (1 - momentum) * g
        theta -= lr * (np.sign(m) + weight_decay * theta)
        yield theta
