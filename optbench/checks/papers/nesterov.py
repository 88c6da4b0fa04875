"""SGD with Nesterov momentum.

Yurii Nesterov (1983), "A method for solving the convex programming problem with convergence rate O(1/k^2)", Soviet
Mathematics Doklady 27; for networks: Ilya Sutskever, James Martens, George Dahl, Geoffrey Hinton (2013), "On the
importance of initialization and momentum in deep learning", ICML, equations 3 and 4.

    G_t = g_t + wd theta
    b_t = mu b_{t-1} + G_t                                 b_0 = 0
    theta <- theta - lr (G_t + mu b_t)

Sutskever et al. take the gradient at the look-ahead point phi + mu v. This is the same iteration written for that
point, theta = phi + mu v with v = -lr b, so the gradient is taken at theta. This is torch's form, exact while lr and mu
are constant. No dampening: the first step is b = G, so theta moves by (1 + mu) lr G. Weight decay is L2, added to the
gradient. Nesterov's own mu changes with t; here it is constant.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, momentum: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b = np.zeros_like(theta)
    for g, rate in zip(steps, lr):
        G = g + weight_decay * theta
        b = momentum * b + G
        theta -= rate * (G + momentum * b)
        yield theta
