"""Prodigy: Adam that estimates its own step size.

Konstantin Mishchenko, Aaron Defazio (2023), "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
arXiv:2306.06101, Algorithm 4 (the Adam version), in the form of the authors' code (konstmish/prodigy).

    d_1 = d0,  b3 = sqrt(b2),  r_0 = s_0 = m_0 = v_0 = 0
    c_t = sqrt(1 - b2^t) / (1 - b1^t) with use_bias_correction, else 1
    r_t = b3 r_{t-1} + (d_t / d0) d_t c_t lr_t <g_t, theta_0 - theta_t>
    s_t = b3 s_{t-1} + (d_t / d0) d_t w_t g_t,  w_t = 1 with safeguard_warmup, else c_t lr_t
    m_t = b1 m_{t-1} + (1 - b1) d_t g_t,  v_t = b2 v_{t-1} + (1 - b2) d_t^2 g_t^2
    dhat = d_coef r_t / ||s_t||_1
    top = the largest of d0 and of all dhat so far
    d_{t+1} = min(top, growth_rate d), d = max(d0, dhat) if d_t = d0, else d_t      (growth_rate None: d_{t+1} = top)
    theta <- (1 - d_t c_t lr_t wd) theta
    theta <- theta - d_t c_t lr_t m_t / (sqrt(v_t) + d_{t+1} eps)

The paper's factors 1 - b3 of r and s are left out, and both are divided by d0; neither changes dhat. The paper
multiplies eps by d_t; the code, as here, by d_{t+1}. The step itself still uses d_t. The bias correction and the
safeguard are options of the code; the paper has neither. growth_rate does not limit the first growth, away from d0.
While s is zero (no gradient yet), theta neither moves nor decays. r and ||s||_1 are sums over all parameters of the
optimizer; here that is one tensor.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _next_d(d: float, dhat: float, top: float, d0: float, growth: float) -> float:
    """Return d_{t+1}."""
    if d == d0:
        d = max(d, dhat)
    return min(top, d * growth)


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    d0: float,
    d_coef: float,
    growth_rate: float | None,
    safeguard_warmup: bool,
    use_bias_correction: bool,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    b3 = np.sqrt(b2)
    growth = np.inf if growth_rate is None else growth_rate
    start = theta.copy()
    m, v, s = np.zeros(theta.shape), np.zeros(theta.shape), np.zeros(theta.shape)
    r, d, top = 0.0, d0, d0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        if use_bias_correction:
            rate = rate * np.sqrt(1 - b2**t) / (1 - b1**t)
        scale = d / d0 * d * rate
        r = b3 * r + scale * np.sum(g * (start - theta))
        s = b3 * s + (d / d0 * d if safeguard_warmup else scale) * g
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d**2 * g**2
        size = np.abs(s).sum()
        if size > 0:
            dhat = d_coef * r / size
            top = max(top, dhat)
            step, d = d * rate, _next_d(d, dhat, top, d0, growth)
            theta *= 1 - step * weight_decay
            theta -= step * m / (np.sqrt(v) + d * eps)
        yield theta
