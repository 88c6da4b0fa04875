"""RAdam: Adam with a rectified variance.

Liyuan Liu, Haoming Jiang, Pengcheng He, Weizhu Chen, Xiaodong Liu, Jianfeng Gao, Jiawei Han (2020), "On the Variance of
the Adaptive Learning Rate and Beyond", arXiv:1908.03265, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2       m_0 = v_0 = 0
    rho_inf = 2 / (1 - b2) - 1,  rho_t = rho_inf - 2 t b2^t / (1 - b2^t)
    rho_t > threshold:  step = r_t mhat l_t,  mhat = m_t / (1 - b1^t),  l_t = sqrt(1 - b2^t) / (sqrt(v_t) + eps),
                        r_t = sqrt((rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t))
    otherwise:          step = mhat (early "momentum")  or  0 (early "frozen")
    theta <- (1 - lr wd) theta - lr step

The paper's threshold is 4, where r_t is 0. torch uses rho_t > 5; the authors' code, timm and optax use rho_t >= 5. At
b2 = 0.999, rho_5 = 4.996 and rho_6 = 5.994, so 4 and 5 differ in step 5 only, and > and >= do not differ. The paper's
early steps are mhat, without an adaptive rate; by default the authors' code does not move there. Algorithm 2 has no
eps; it is added to the root of the uncorrected v, as in the authors' code and torch. Algorithm 2 has no weight decay;
here it is decoupled and applies in every step, also the early ones (the authors' code skips it in a frozen step).
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
    threshold: float,
    early: str,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    before = {"momentum": 1.0, "frozen": 0.0}[early]
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    rho_inf = 2 / (1 - b2) - 1
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        mhat = m / (1 - b1**t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        if rho > threshold:
            r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            step = r * mhat * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        else:
            step = before * mhat
        theta -= rate * (step + weight_decay * theta)
        yield theta
