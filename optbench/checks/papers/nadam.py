"""NAdam: Adam with Nesterov momentum.

Timothy Dozat (2016), "Incorporating Nesterov Momentum into Adam", ICLR workshop (no arXiv id), Algorithm 2.

    G_t = g_t + wd theta
    mu_t = b1 (1 - 0.96^(t psi) / 2)                       psi = momentum_decay
    m_t = b1 m_{t-1} + (1 - b1) G_t,  v_t = b2 v_{t-1} + (1 - b2) G_t^2       m_0 = v_0 = 0
    mbar = (1 - mu_t) G_t / (1 - mu_1 ... mu_t)  +  mu_{t+1} m_t / (1 - mu_1 ... mu_{t+1})
    theta <- theta - lr mbar / (sqrt(v_t / (1 - b2^t)) + eps)

This is torch's form: the schedule of mu enters mbar only, and m decays by the constant b1. Dozat's m decays by mu_t.
His schedule is 0.96^(t / 250): psi = 0.004. The paper has no weight decay; it is L2 here, added to the gradient.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, momentum_decay: float, weight_decay: float
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v, product = np.zeros_like(theta), np.zeros_like(theta), 1.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        mu, mu_next = (b1 * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
        product *= mu
        G = g + weight_decay * theta
        m = b1 * m + (1 - b1) * G
        v = b2 * v + (1 - b2) * G**2
        mbar = (1 - mu) * G / (1 - product) + mu_next * m / (1 - product * mu_next)
        theta -= rate * mbar / (np.sqrt(v / (1 - b2**t)) + eps)
        yield theta
