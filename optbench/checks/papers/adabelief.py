"""AdaBelief: Adam with the deviation of the gradient from its mean.

Juntang Zhuang, Tommy Tang, Yifan Ding, Sekhar Tatikonda, Nicha Dvornek, Xenophon Papademetris, James Duncan (2020),
"AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", arXiv:2010.07468, Algorithm 2.

    m_t = b1 m_{t-1} + (1 - b1) g_t                        m_0 = s_0 = 0
    s_t = b2 s_{t-1} + (1 - b2) (g_t - m_t)^2 + eps
    theta <- theta - lr (mhat / (sqrt(shat) + eps) + wd theta),  mhat = m_t / (1 - b1^t), shat = s_t / (1 - b2^t)

m_t in s_t is the mean that already holds g_t, so the first deviation is b1 g. eps is added INTO the stored s in every
step, not only where s is used: it accumulates to eps (1 - b2^t) / (1 - b2), so that the bias-corrected shat always
holds eps / (1 - b2) of it (1000 eps at b2 = 0.999). It is added once more to the root. No rectification (the authors'
package switches RAdam's on by default). Weight decay, not part of the algorithm, is decoupled.
"""

import numpy as np


def paper(theta, steps, *, lr, betas, eps, weight_decay):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    b1, b2 = betas
    m, s = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(steps, 1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        mhat, shat = m / (1 - b1**t), s / (1 - b2**t)
        theta -= lr * (mhat / (np.sqrt(shat) + eps) + weight_decay * theta)
        yield theta
