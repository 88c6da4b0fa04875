"""AdEMAMix: Adam's step from a mixture of a fast and a slow average of the gradients.

Matteo Pagliardini, Pierre Ablin, David Grangier (2024), "The AdEMAMix Optimizer: Better, Faster, Older",
arXiv:2409.03137, Algorithm 1, with the schedulers of its section 3.

    alpha_t = min(t alpha / T_alpha, alpha)
    beta_t  = min(exp(ln b1 ln b3 / ((1 - t / T_b3) ln b3 + t / T_b3 ln b1)), b3)
    m1_t = b1 m1_{t-1} + (1 - b1) g_t,  m2_t = beta_t m2_{t-1} + (1 - beta_t) g_t,  v_t = b2 v_{t-1} + (1 - b2) g_t^2
    m1hat = m1_t / (1 - b1^t),  vhat = v_t / (1 - b2^t)                     all start at 0
    theta <- theta - lr ((m1hat + alpha_t m2_t) / (sqrt(vhat) + eps) + wd theta)

Without T both are constant. m2 is not corrected. As in the authors' code (apple/ml-ademamix), 1e-8 is added to the
betas inside the logarithms, so that b1 may be 0, and beta_t is b3 from step T_b3 on.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def _beta3(t: int, b1: float, b3: float, total: int | None) -> float:
    """Return the slow average's decay rate in step t."""
    if total is None or t >= total:
        return b3
    log1, log3 = np.log(b1 + 1e-8), np.log(b3 + 1e-8)
    return float(np.exp(log1 * log3 / ((1 - t / total) * log3 + t / total * log1)))


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: tuple[float, float, float],
    alpha: float,
    alpha_warmup: int | None,
    beta3_warmup: int | None,
    eps: float,
    weight_decay: float,
) -> Trajectory:
    """Yield theta after each step. `alpha_warmup` is T_alpha, `beta3_warmup` T_b3; None for none."""
    b1, b2, b3 = betas
    m1, m2, v = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        beta = _beta3(t, b1, b3, beta3_warmup)
        m1 = b1 * m1 + (1 - b1) * g
        m2 = beta * m2 + (1 - beta) * g
        v = b2 * v + (1 - b2) * g**2
        weight = alpha if alpha_warmup is None else min(t * alpha / alpha_warmup, alpha)
        update = (m1 / (1 - b1**t) + weight * m2) / (np.sqrt(v / (1 - b2**t)) + eps)
        theta -= rate * (update + weight_decay * theta)
        yield theta
