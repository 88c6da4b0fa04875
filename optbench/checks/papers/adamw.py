"""AdamW: Adam with decoupled weight decay.

Ilya Loshchilov and Frank Hutter (2019), "Decoupled Weight Decay Regularization", arXiv:1711.05101, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2       m_0 = v_0 = 0
    theta <- theta - lr (mhat / (sqrt(vhat) + eps) + wd theta),  mhat = m_t / (1 - b1^t), vhat = v_t / (1 - b2^t)

The paper writes theta - eta_t (alpha ... + lambda theta): the schedule eta_t scales its decay, the step size alpha does
not. Here, as in torch, lr = eta_t alpha scales both, so wd = lambda / alpha. The decay uses theta before the step.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= rate * (mhat / (np.sqrt(vhat) + eps) + weight_decay * theta)
        yield theta
