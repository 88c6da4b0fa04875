"""StableAdamW: AdamW with Adafactor's clipping of the update, tensor by tensor.

Mitchell Wortsman, Tim Dettmers, Luke Zettlemoyer, Ari Morcos, Ali Farhadi, Ludwig Schmidt (2023), "Stable and
low-precision training for large-scale vision-language models", arXiv:2304.13013, Algorithm 2.

    B1 = b1 (1 - b1^(t-1)) / (1 - b1^t),  B2 = b2 (1 - b2^(t-1)) / (1 - b2^t)
    v_t = B1 v_{t-1} + (1 - B1) g_t,  u_t = B2 u_{t-1} + (1 - B2) g_t^2                     v_0 = u_0 = 0
    RMS = sqrt(mean(g_t^2 / max(u_t, eps^2))),  eta = lr / max(1, RMS)
    theta <- theta - eta (wd theta + v_t / (sqrt(u_t) + eps))

v and u are Adam's bias-corrected moments. As in the paper, eta also scales the decay; the first author's gist
(StableAdamWUnfused) decays with lr itself. The gist has max(u_t, eps^2) against a division by 0, and so have we.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def paper(theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    v, u = np.zeros(theta.shape), np.zeros(theta.shape)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        keep1, keep2 = (b * (1 - b ** (t - 1)) / (1 - b**t) for b in (b1, b2))
        v = keep1 * v + (1 - keep1) * g
        u = keep2 * u + (1 - keep2) * g**2
        if theta.size:
            rms = float(np.sqrt(np.mean(g**2 / np.maximum(u, eps**2))))
            theta -= rate / max(1.0, rms) * (weight_decay * theta + v / (np.sqrt(u) + eps))
        yield theta
