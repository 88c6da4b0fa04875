"""LARS: momentum SGD with a learning rate per tensor.

Yang You, Igor Gitman, Boris Ginsburg (2017), "Large Batch Training of Convolutional Networks", arXiv:1708.03888,
Algorithm 1.

    local = trust ||theta|| / (||g_t|| + wd ||theta|| + eps)         Euclidean norms of the whole tensor
    v_t = mu v_{t-1} + lr local (g_t + wd theta)                     v_0 = 0
    theta <- theta - v_t

lr is inside the buffer, as in Algorithm 1 (torch's momentum has it outside): the two differ only under a schedule. The
rate is inside too, so past gradients keep the rates of their own steps. The gradient's norm in the rate excludes weight
decay. The paper has no eps; it is added to the sum of the norms. The paper does not define the rate for a zero norm: by
its formula a tensor that starts at 0 would never move. So the rate is 1 if ||theta|| or ||g|| is 0, as in timm. The
rate applies with and without weight decay (timm leaves it out at wd = 0). The polynomial decay of lr in Algorithm 1 is
left to the schedule.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, momentum: float, weight_decay: float, trust: float, eps: float
) -> Trajectory:
    """Yield theta after each step."""
    v = np.zeros_like(theta)
    for g, rate in zip(steps, lr):
        size, slope = np.sqrt(np.sum(theta**2)), np.sqrt(np.sum(g**2))
        local = trust * size / (slope + weight_decay * size + eps) if size > 0 and slope > 0 else 1.0
        v = momentum * v + rate * local * (g + weight_decay * theta)
        theta -= v
        yield theta
