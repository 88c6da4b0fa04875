"""SPAM: Adam with spike-aware clipping and momentum resets.

Tianjin Huang, Ziquan Zhu, Gaojie Jin, Lu Liu, Zhangyang Wang, Shiwei Liu (2025), "SPAM: Spike-Aware Adam with Momentum
Reset for Stable LLM Training", arXiv:2501.06842, Algorithm 1, as in the authors' code (TianjinYellow/SPAM-Optimizer)
with density 1.

    in steps T, 2 T, 3 T, ...:  m = v = 0, and the count c of the warm-up is 0          T = reset_interval
    g_t <- sign(g_t) sqrt(threshold v_{t-1}) where g_t^2 > threshold v_{t-1}      if t mod T >= clip_after
    m_t = b1 m_{t-1} + (1 - b1) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2                  m_0 = v_0 = 0
    s = 1 - 0.99 (1 + cos(pi c / (N + 1))) / 2 while c < N, else 1                N = warmup_steps; c grows by 1 a step
    theta <- theta - lr s sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(v_t) + eps)
    theta <- theta - lr wd theta

There is no warm-up before the first reset. t goes on over a reset, so that the correction of the bias is almost 1 after
it. eps is added to the root of the uncorrected v.
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
    reset_interval: int,
    warmup_steps: int,
    clip_after: int,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, v = np.zeros(theta.shape), np.zeros(theta.shape)
    count = warmup_steps
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        if t % reset_interval == 0:
            m, v, count = np.zeros(theta.shape), np.zeros(theta.shape), 0
        if t % reset_interval >= clip_after:
            bound = np.sqrt(threshold * v)
            g = np.where(np.abs(g) > bound, np.sign(g) * bound, g)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        cold = 0.99 * (1 + np.cos(np.pi * count / (warmup_steps + 1))) / 2 if count < warmup_steps else 0.0
        count += 1
        size = rate * (1 - cold) * np.sqrt(1 - b2**t) / (1 - b1**t)
        theta -= size * m / (np.sqrt(v) + eps)
        theta -= rate * weight_decay * theta
        yield theta
