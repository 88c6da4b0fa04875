"""AdamW: Adam with decoupled weight decay.

Ilya Loshchilov and Frank Hutter (2019), "Decoupled Weight Decay Regularization", arXiv:1711.05101, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2       m_0 = v_0 = 0
    theta <- theta - lr (mhat / (sqrt(vhat) + eps) + wd theta),  mhat = m_t / (1 - b1^t), vhat = v_t / (1 - b2^t)

The paper writes theta - eta_t (alpha ... + lambda theta): its decay is scaled by the schedule eta_t but not by the step
size alpha. Here, as in torch, lr = eta_t alpha scales both, so wd = lambda / alpha. The theta decayed is the one
before the step.
"""

import numpy as np


def paper(theta, steps, *, lr, betas, eps, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(steps, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= lr * (mhat / (np.sqrt(vhat) + eps) + weight_decay * theta)
        yield theta
