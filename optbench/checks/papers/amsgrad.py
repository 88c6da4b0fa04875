"""AMSGrad: Adam whose second moment never decreases.

Sashank Reddi, Satyen Kale, Sanjiv Kumar (2018), "On the Convergence of Adam and Beyond", arXiv:1904.09237,
Algorithm 2.

    G_t = g_t + wd theta
    m_t = b1 m_{t-1} + (1 - b1) G_t,  v_t = b2 v_{t-1} + (1 - b2) G_t^2       m_0 = v_0 = vhat_0 = 0
    vhat_t = max(vhat_{t-1}, x_t)
    theta <- theta - lr y_t / (sqrt(z_t) + eps)

Three rules have this name:

    variant     x_t (enters the maximum)    y_t               z_t
    paper       v_t                         m_t               vhat_t
    torch       v_t                         m_t / (1 - b1^t)  vhat_t / (1 - b2^t)
    optax       v_t / (1 - b2^t)            m_t / (1 - b1^t)  vhat_t

The divisor is non-decreasing only in "paper" and "optax": torch corrects the bias after the maximum, by a factor that
falls with t. The paper has no eps and divides by sqrt(vhat), which gives 0 / 0 while every gradient is 0; so every
variant adds eps to the root. The paper's b1 and lr may change with t, and it projects its step onto the feasible set;
both are left out. Weight decay is not in the paper; it is L2, added to the gradient.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory

# x, y, z of each variant, with c1 = 1 - b1^t and c2 = 1 - b2^t
VARIANTS = {
    "paper": (lambda v, c2: v, lambda m, c1: m, lambda vhat, c2: vhat),
    "torch": (lambda v, c2: v, lambda m, c1: m / c1, lambda vhat, c2: vhat / c2),
    "optax": (lambda v, c2: v / c2, lambda m, c1: m / c1, lambda vhat, c2: vhat),
}


def paper(
    theta: Array, steps: Gradients, *, lr: Rates, betas: Betas, eps: float, weight_decay: float, variant: str
) -> Trajectory:
    """Yield theta after each step."""
    x, y, z = VARIANTS[variant]
    b1, b2 = betas
    m, v, vhat = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        c1, c2 = 1 - b1**t, 1 - b2**t
        G = g + weight_decay * theta
        m = b1 * m + (1 - b1) * G
        v = b2 * v + (1 - b2) * G**2
        vhat = np.maximum(vhat, x(v, c2))
        theta -= rate * y(m, c1) / (np.sqrt(z(vhat, c2)) + eps)
        yield theta
