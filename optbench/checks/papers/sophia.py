"""Sophia: momentum divided by a diagonal Hessian estimate, clipped; forms G and H.

Hong Liu, Zhiyuan Li, David Hall, Percy Liang, Tengyu Ma (2023), "Sophia: A Scalable Stochastic Second-order Optimizer
for Language Model Pre-training", arXiv:2305.14342, Algorithm 3; estimators: Algorithms 1 (H) and 2 (G).

    m_t = b1 m_{t-1} + (1 - b1) g_t                             m_0 = 0, no bias correction
    at (t - 1) % interval = 0:  h = b2 h + (1 - b2) estimate    h_0 = 0, no bias correction; else h stays
        G (Gauss-Newton-Bartlett):  estimate = B s^2            s = gradient of the mean loss of the batch at labels
                                                                drawn from the model, B = number of terms in that mean
        H (Hutchinson):             estimate = z (H z)          z the probe; entries may be negative
    theta <- (1 - lr wd) theta
    theta <- theta - lr clip(m_t / max(rho h, eps), -1, 1)

The paper writes gamma for rho (the authors' code has used both names). A new estimate is already used in its own step.
The authors' code adds 1e-15 to the divisor of G instead of taking the max, and their H corrects the bias of m. Here
both follow the paper.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Betas, Evidence, Rates, Trajectory


def _estimate(evidence: Evidence) -> Array:
    if "sampled" in evidence:
        return evidence["count"] * evidence["sampled"] ** 2
    return evidence["probe"] * evidence["product"]


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Evidence | None]],
    *,
    lr: Rates,
    betas: Betas,
    rho: float,
    eps: float,
    weight_decay: float,
    interval: int,
) -> Trajectory:
    """Yield theta after each step. `steps`: (gradient, evidence), where evidence is {"sampled": s, "count": B} or
    {"probe": z, "product": H z} at (t - 1) % interval = 0 and None otherwise."""
    b1, b2 = betas
    m, h = np.zeros(theta.shape), np.zeros(theta.shape)
    for t, ((g, evidence), rate) in enumerate(zip(steps, lr), 1):
        due = (t - 1) % interval == 0
        if due == (evidence is None):
            raise ValueError(f"step {t}: evidence on the curvature is {'missing' if due else 'not wanted'}")
        m = b1 * m + (1 - b1) * g
        if evidence is not None:
            h = b2 * h + (1 - b2) * _estimate(evidence)
        theta *= 1 - rate * weight_decay
        theta -= rate * np.clip(m / np.maximum(rho * h, eps), -1, 1)
        yield theta
