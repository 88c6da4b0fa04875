"""Schedule-free SGD: averages the iterates instead of using a schedule.

Aaron Defazio, Xingyu Alice Yang, Harsh Mehta, Konstantin Mishchenko, Ahmed Khaled, Ashok Cutkosky (2024), "The Road
Less Scheduled", arXiv:2405.15682, equations 2 to 4, as in the authors' SGDScheduleFree
(facebookresearch/schedule_free).

    z_1 = x_1 = y_1 = theta_0;  the gradient g_t is taken at y_t = (1 - b) z_t + b x_t, which is theta
    lr_t = lr min(1, t / warmup_steps)                                     (the min is 1 without warm-up)
    z_{t+1} = z_t - lr_t (g_t + wd y_t)
    w_t = (largest lr so far)^2,  c = w_t / sum of w so far
    x_{t+1} = (1 - c) x_t + c z_{t+1}                                      the weights to evaluate
    theta = y_{t+1} = (1 - b) z_{t+1} + b x_{t+1}

b is `momentum`. The weights w are those of the library's r = 0 and weight_lr_power = 2; with a constant lr, c = 1 / t.
x is computed from theta and z, so it moves when anything else moves theta.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, momentum: float, weight_decay: float, warmup_steps: int
) -> Trajectory:
    """Yield theta, the training point y, after each step. `steps`: gradients at y."""
    b, z, largest, total = momentum, theta.copy(), 0.0, 0.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        rate = rate * min(1.0, t / max(warmup_steps, 1))
        largest = max(largest, rate)
        total += largest**2
        c = largest**2 / total if total > 0 else 0.0  # lr = 0
        x = (theta - (1 - b) * z) / b
        z = z - rate * (g + weight_decay * theta)
        x = (1 - c) * x + c * z
        theta[...] = (1 - b) * np.asarray(z) + b * x
        yield theta
