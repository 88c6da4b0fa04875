"""signSGD: the sign of the gradient.

Jeremy Bernstein, Yu-Xiang Wang, Kamyar Azizzadenesheli, Anima Anandkumar (2018), "signSGD: Compressed Optimisation for
Non-Convex Problems", arXiv:1802.04434, Algorithm 1.

    theta <- theta - lr (sign(g) + wd theta)

sign(0) = 0: an element with a zero gradient only decays. Algorithm 1 has no weight decay; it is decoupled here. (L2
inside the sign would matter only where the gradient is smaller than wd theta.) No state.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    for g, rate in zip(steps, lr):
        theta -= rate * (np.sign(g) + weight_decay * theta)
        yield theta
