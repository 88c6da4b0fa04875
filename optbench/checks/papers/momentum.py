"""SGD with heavy-ball momentum.

Boris Polyak (1964), "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics
and Mathematical Physics 4(5).

    b_t = mu b_{t-1} + g_t + wd theta                      b_0 = 0
    theta <- theta - lr b_t

Polyak writes theta_{t+1} = theta_t - a g_t + mu (theta_t - theta_{t-1}). That puts the step size inside the buffer, and
is the same thing for a constant one; where the step size changes, torch's form (this one) rescales past gradients by
the present step size and Polyak's does not. No dampening: the first step is b = g. Weight decay is L2, added to the
gradient.
"""

import numpy as np


def paper(theta, steps, *, lr, momentum, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    b = np.zeros_like(theta)
    for g in steps:
        b = momentum * b + (g + weight_decay * theta)
        theta -= lr * b
        yield theta
