"""Adam: adaptive moments.

Diederik Kingma and Jimmy Ba (2015), "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, Algorithm 1.

    G_t = g_t + wd theta
    m_t = b1 m_{t-1} + (1 - b1) G_t,  v_t = b2 v_{t-1} + (1 - b2) G_t^2       m_0 = v_0 = 0
    theta <- theta - lr mhat / (sqrt(vhat) + eps),  mhat = m_t / (1 - b1^t), vhat = v_t / (1 - b2^t)

eps is added to the root of the bias-corrected v, as in Algorithm 1. The faster form in the paper's section 2,
alpha_t m / (sqrt(v) + epshat), has a different eps: "epshat" is not bias-corrected. The paper has no weight decay.
Here it is L2: added to the gradient, so both moments include it.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        G = g + weight_decay * theta
        m = b1 * m + (1 - b1) * G
        v = b2 * v + (1 - b2) * G**2
        mhat, vhat = m / (1 - b1**t), v / (1 - b2**t)
        theta -= rate * mhat / (np.sqrt(vhat) + eps)
        yield theta
