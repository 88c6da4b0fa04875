"""Schedule-free RAdam: schedule-free averaging with RAdam's rectified learning rate in place of a warm-up.

Aaron Defazio, Xingyu Alice Yang, Harsh Mehta, Konstantin Mishchenko, Ahmed Khaled, Ashok Cutkosky (2024), "The Road
Less Scheduled", arXiv:2405.15682, Algorithm 1, with the rectification of Liu et al., arXiv:1908.03265, as in
RAdamScheduleFree with silent_sgd_phase=True (facebookresearch/schedule_free).

    z_1 = x_1 = y_1 = theta_0;  the gradient g_t is taken at y_t = (1 - b1) z_t + b1 x_t, which is theta
    v_t = b2 v_{t-1} + (1 - b2) g_t^2,  vhat = v_t / (1 - b2^t)                                v_0 = 0
    rho_inf = 2 / (1 - b2) - 1,  rho_t = rho_inf - 2 t b2^t / (1 - b2^t)
    lr_t = lr sqrt((rho_t - 4) (rho_t - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho_t)) if rho_t > 4, else 0
    z_{t+1} = z_t - lr_t (g_t / (sqrt(vhat) + eps) + wd y_t)
    w_t = (largest lr_t so far)^2,  c = w_t / sum of w so far (0 while that is 0)
    x_{t+1} = (1 - c) x_t + c z_{t+1},  theta = y_{t+1} = (1 - b1) z_{t+1} + b1 x_{t+1}

Nothing moves while lr_t is 0, but v is updated. The weights w are those of r = 0 and weight_lr_power = 2.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _rectified(t: int, b2: float) -> float:
    """Return lr_t / lr."""
    rho_inf = 2 / (1 - b2) - 1
    rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
    if rho <= 4:
        return 0.0
    return float(np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)))


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta, the training point y, after each step. `steps`: gradients at y."""
    b1, b2 = betas
    z, v = theta.copy(), np.zeros(theta.shape)
    largest = total = 0.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        rate = rate * _rectified(t, b2)
        largest = max(largest, rate)
        total += largest**2
        c = largest**2 / total if total > 0 else 0.0
        v = b2 * v + (1 - b2) * g**2
        x = (theta - (1 - b1) * z) / b1
        z = z - rate * (g / (np.sqrt(v / (1 - b2**t)) + eps) + weight_decay * theta)
        x = (1 - c) * x + c * z
        theta[...] = (1 - b1) * z + b1 * x
        yield theta
