"""LARS: momentum SGD with a learning rate per tensor.

Yang You, Igor Gitman, Boris Ginsburg (2017), "Large Batch Training of Convolutional Networks", arXiv:1708.03888,
Algorithm 1.

    rate = trust ||theta|| / (||g_t|| + wd ||theta|| + eps)         Euclidean norms of the whole tensor
    v_t = mu v_{t-1} + lr rate (g_t + wd theta)                     v_0 = 0
    theta <- theta - v_t

lr is inside the buffer, as in Algorithm 1 (torch's momentum has it outside): the same for a constant lr, but not under
a schedule. The rate is inside it too, so that past gradients keep the rates of their own steps. The gradient's norm in
the rate is taken before the decay is added. The paper has no eps; it is added to the sum of the norms. Nor does it say
what a zero norm means: as it stands, a tensor that starts at 0 would never move, so the rate is 1 where ||theta|| or
||g|| is 0, as in timm. The rate applies with and without weight decay alike (timm leaves it out at wd = 0). The
polynomial fall of lr in Algorithm 1 is the schedule's business.
"""

import numpy as np


def paper(theta, steps, *, lr, momentum, weight_decay, trust, eps):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    v = np.zeros_like(theta)
    for g in steps:
        size, slope = np.sqrt(np.sum(theta**2)), np.sqrt(np.sum(g**2))
        rate = trust * size / (slope + weight_decay * size + eps) if size > 0 and slope > 0 else 1.0
        v = momentum * v + lr * rate * (g + weight_decay * theta)
        theta -= v
        yield theta
