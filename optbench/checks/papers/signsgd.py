"""signSGD: the sign of the gradient.

Jeremy Bernstein, Yu-Xiang Wang, Kamyar Azizzadenesheli, Anima Anandkumar (2018), "signSGD: Compressed Optimisation for
Non-Convex Problems", arXiv:1802.04434, Algorithm 1.

    theta <- theta - lr (sign(g) + wd theta)

sign(0) = 0: such an element does not move. Algorithm 1 has no weight decay; it is decoupled here. (Inside the sign, L2
would only matter where the gradient is smaller than wd theta.) No state.
"""

import numpy as np


def paper(theta, steps, *, lr, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    for g in steps:
        theta -= lr * (np.sign(g) + weight_decay * theta)
        yield theta
