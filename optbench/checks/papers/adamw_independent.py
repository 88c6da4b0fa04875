"""AdamW with its paper's weight decay, which is independent of the base learning rate.

Ilya Loshchilov and Frank Hutter (2019), "Decoupled Weight Decay Regularization", arXiv:1711.05101, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2       m_0 = v_0 = 0
    theta <- theta - eta_t (alpha mhat / (sqrt(vhat) + eps) + lambda theta)
    mhat = m_t / (1 - b1^t), vhat = v_t / (1 - b2^t)

eta_t is the schedule, lr is alpha, weight_decay is lambda. The decay uses theta before the step.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: float, schedule: Rates, betas: Betas, eps: float, weight_decay: float
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, eta) in enumerate(zip(steps, schedule), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= eta * (lr * mhat / (np.sqrt(vhat) + eps) + weight_decay * theta)
        yield theta
