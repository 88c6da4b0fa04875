"""D-Adaptation for Adam: a step size from a lower bound of the distance to the solution.

Aaron Defazio, Konstantin Mishchenko (2023), "Learning-Rate-Free Learning by D-Adaptation", arXiv:2301.07733,
Algorithm 5 (Adam), as in the authors' code (facebookresearch/dadaptation, DAdaptAdam with decouple=True).

    d_1 = d0,  b3 = sqrt(b2),  r_0 = s_0 = m_0 = v_0 = 0
    r_t = b3 r_{t-1} + (1 - b3) d_t lr <g_t, s_{t-1} / (sqrt(v_{t-1}) + eps)>
    m_t = b1 m_{t-1} + (1 - b1) d_t lr g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2
    s_t = b3 s_{t-1} + (1 - b3) d_t lr g_t
    dhat = r_t / ((1 - b3) ||s_t||_1),  d_{t+1} = max(d_t, min(dhat, growth_rate d_t))      (None: no limit)
    theta <- (1 - d_t lr wd) theta - m_t / (sqrt(v_t) + eps)

The first step takes s_0 / (sqrt(v_0) + eps) = 0. The paper has no eps inside <.,.> and writes the weighted norm of s;
this is the code. No bias correction (its option is off by default). Nothing changes while lr is 0 or while s is zero.
r and ||s||_1 are sums over all parameters of the optimizer; here that is one tensor.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    d0: float,
    growth_rate: float | None,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    b3 = np.sqrt(b2)
    m, v, s, r, d = np.zeros(theta.shape), np.zeros(theta.shape), np.zeros(theta.shape), 0.0, d0
    for g, rate in zip(steps, lr):
        scale = d * rate
        if scale > 0:
            r = b3 * r + (1 - b3) * scale * np.sum(g * s / (np.sqrt(v) + eps))
            m = b1 * m + (1 - b1) * scale * g
            v = b2 * v + (1 - b2) * g**2
            s = b3 * s + (1 - b3) * scale * g
        size = np.abs(s).sum()
        if scale > 0 and size > 0:
            dhat = r / ((1 - b3) * size)
            d = max(d, dhat if growth_rate is None else min(dhat, growth_rate * d))
            theta *= 1 - scale * weight_decay
            theta -= m / (np.sqrt(v) + eps)
        yield theta
