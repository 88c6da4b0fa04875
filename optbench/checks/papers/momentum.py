"""SGD with heavy-ball momentum.

Boris Polyak (1964), "Some methods of speeding up the convergence of iteration methods", USSR Computational Mathematics
and Mathematical Physics 4(5).

    b_t = mu b_{t-1} + g_t + wd theta                      b_0 = 0
    theta <- theta - lr b_t

Polyak writes theta_{t+1} = theta_t - a g_t + mu (theta_t - theta_{t-1}), which puts the step size inside the buffer.
For a constant step size the two are equal. When it changes, torch's form (used here) rescales past gradients by the
current step size; Polyak's does not. No dampening: the first step is b = g. Weight decay is L2, added to the gradient.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, momentum: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b = np.zeros_like(theta)
    for g, rate in zip(steps, lr):
        b = momentum * b + (g + weight_decay * theta)
        theta -= rate * b
        yield theta
