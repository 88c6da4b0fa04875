"""AdaBelief: Adam whose second moment is that of the gradient's deviation from its mean.

Juntang Zhuang, Tommy Tang, Yifan Ding, Sekhar Tatikonda, Nicha Dvornek, Xenophon Papademetris, James Duncan (2020),
"AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", arXiv:2010.07468, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t                        m_0 = s_0 = 0
    s_t = b2 s_{t-1} + (1 - b2) (g_t - m_t)^2 + eps
    theta <- theta - lr (mhat / (sqrt(shat) + eps) + wd theta),  mhat = m_t / (1 - b1^t), shat = s_t / (1 - b2^t)

s_t uses m_t, which already contains g_t, so the first deviation is b1 g. eps is added to the stored s in every step and
accumulates to eps (1 - b2^t) / (1 - b2): the bias-corrected shat always contains eps / (1 - b2), which is 1000 eps at
b2 = 0.999. eps is also added to the root. No rectification (the authors' package enables RAdam's by default). Weight
decay is not part of the algorithm; it is decoupled here.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    m, s = np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        mhat, shat = m / (1 - b1**t), s / (1 - b2**t)
        theta -= rate * (mhat / (np.sqrt(shat) + eps) + weight_decay * theta)
        yield theta
