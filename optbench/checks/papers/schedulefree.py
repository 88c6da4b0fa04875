"""Schedule-free AdamW: averages the iterates instead of using a schedule.

Aaron Defazio, Xingyu Alice Yang, Harsh Mehta, Konstantin Mishchenko, Ahmed Khaled, Ashok Cutkosky (2024), "The Road
Less Scheduled", arXiv:2405.15682, Algorithm 1, as in the authors' AdamWScheduleFreePaper (schedulefree).

    z_1 = x_1 = y_1 = theta_0;  the gradient g_t is taken at y_t = (1 - b1) z_t + b1 x_t, which is theta
    v_t = b2 v_{t-1} + (1 - b2) g_t^2                                       v_0 = 0
    lr_t = lr sqrt(1 - b2^t) min(1, t / warmup_steps)                       (the min is 1 without warm-up)
    z_{t+1} = z_t - lr_t (g_t / (sqrt(v_t) + eps) + wd y_t)
    w_t = (largest lr so far)^2,  c = w_t / sum of w so far
    x_{t+1} = (1 - c) x_t + c z_{t+1}                                       the weights to evaluate
    theta = y_{t+1} = (1 - b1) z_{t+1} + b1 x_{t+1}

x is not stored but computed from theta and z: x = (y - (1 - b1) z) / b1. So x moves when anything else moves theta. eps
is added to the root of the uncorrected moment. The bias correction is part of lr_t, so it also scales the decay and the
weights w. The library's default class AdamWScheduleFree differs: it corrects v itself, and lr_t is
lr min(1, t / warmup_steps), so its early averages are plain means. The weights w are those of the library's r = 0 and
weight_lr_power = 2. Where lr_t never falls, w_t is lr_t^2 as in the paper.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float, warmup_steps: int
) -> Trajectory:
    """Yield theta, the training point y, after each step. `steps`: gradients at y."""
    b1, b2 = betas
    z, v = theta.copy(), np.zeros(theta.shape)
    largest = total = 0.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        rate *= np.sqrt(1 - b2**t) * min(1.0, t / max(warmup_steps, 1))
        largest = max(largest, rate)
        total += largest**2
        c = largest**2 / total if total > 0 else 0.0  # lr = 0
        x = (theta - (1 - b1) * z) / b1
        v = b2 * v + (1 - b2) * g**2
        z = z - rate * (g / (np.sqrt(v) + eps) + weight_decay * theta)
        x = (1 - c) * x + c * z
        theta[...] = (1 - b1) * z + b1 * x
        yield theta
