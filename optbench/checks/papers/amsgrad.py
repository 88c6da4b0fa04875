"""AMSGrad: Adam whose second moment never falls.

Sashank Reddi, Satyen Kale, Sanjiv Kumar (2018), "On the Convergence of Adam and Beyond", arXiv:1904.09237,
Algorithm 2.

    G_t = g_t + wd theta
    m_t = b1 m_{t-1} + (1 - b1) G_t,  v_t = b2 v_{t-1} + (1 - b2) G_t^2       m_0 = v_0 = vhat_0 = 0
    vhat_t = max(vhat_{t-1}, x_t)
    theta <- theta - lr y_t / (sqrt(z_t) + eps)

and three rules go by this name:

    variant     x_t (enters the maximum)    y_t               z_t
    paper       v_t                         m_t               vhat_t
    torch       v_t                         m_t / (1 - b1^t)  vhat_t / (1 - b2^t)
    optax       v_t / (1 - b2^t)            m_t / (1 - b1^t)  vhat_t

Only in "paper" and "optax" is the divisor non-decreasing: torch's bias correction falls with t after the maximum.
The paper has no eps (it divides by sqrt(vhat)); where every gradient so far is 0 that is 0 / 0, so eps is added to the
root in every variant. The paper's b1 and lr may change with t (b1t, alpha_t) and its step is projected onto the
feasible set: neither is part of the rule here. Weight decay is not in the paper; it is L2, added to the gradient.
"""

import numpy as np

# c1, c2: 1 minus the decay rate to the power of t. Each gives what enters the maximum, the numerator and the divisor.
VARIANTS = {
    "paper": (lambda v, c2: v, lambda m, c1: m, lambda vhat, c2: vhat),
    "torch": (lambda v, c2: v, lambda m, c1: m / c1, lambda vhat, c2: vhat / c2),
    "optax": (lambda v, c2: v / c2, lambda m, c1: m / c1, lambda vhat, c2: vhat),
}


def paper(theta, steps, *, lr, betas, eps, weight_decay, variant):
    """Yields theta after each step. theta: float64 array, changed in place; steps: float64 gradients of its shape."""
    x, y, z = VARIANTS[variant]
    b1, b2 = betas
    m, v, vhat = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(steps, 1):
        c1, c2 = 1 - b1**t, 1 - b2**t
        G = g + weight_decay * theta
        m = b1 * m + (1 - b1) * G
        v = b2 * v + (1 - b2) * G**2
        vhat = np.maximum(vhat, x(v, c2))
        theta -= lr * y(m, c1) / (np.sqrt(z(vhat, c2)) + eps)
        yield theta
