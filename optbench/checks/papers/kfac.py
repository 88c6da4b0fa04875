"""K-FAC for one linear layer.

James Martens, Roger Grosse (2015), "Optimizing Neural Networks with Kronecker-factored Approximate Curvature",
arXiv:1503.05671: the block-diagonal approximation (section 4.2) with factored Tikhonov damping (section 6.3).

Layer y = W a + b, theta = [W b] of shape (out, in + 1), abar = [a; 1], g = the gradient of one sample's loss in y:

    A_t = e A_{t-1} + (1 - e) mean(abar abar^T),  S_t = e S_{t-1} + (1 - e) mean(g g^T),  e = min(1 - 1/t, ema)
    pi = sqrt((trace(A) / dim(A)) / (trace(S) / dim(S)))
    at (t - 1) % interval = 0:  A^-1 <- (A_t + pi sqrt(damping) I)^-1,  S^-1 <- (S_t + sqrt(damping) / pi I)^-1
    G = mean(g abar^T) + wd theta
    N = S^-1 G A^-1
    nu = min(1, sqrt(kl_clip / (lr^2 |<N, G>|)))  (1 without kl_clip)
    b = momentum b + nu N,  b_0 = 0
    theta <- theta - lr b

Of the paper's Algorithm 2 these are left out: the exact-Fisher rescaling and momentum (sections 6.4 and 7), the
adaptation of the damping, and the block-tridiagonal inverse. Weight decay is L2, added to the gradient but not to the
curvature. nu is that of Jimmy Ba, Roger Grosse, James Martens (2017), "Distributed Second-Order Optimization using
Kronecker-Factored Approximations", in the form of gpauloski/kfac-pytorch; of several layers the product is summed. The
gradient and S use the same g. With true targets S is the "empirical Fisher"; the paper draws the targets for S from the
model.
"""

from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Rates, Trajectory


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Array]],
    *,
    lr: Rates,
    damping: float,
    ema: float,
    momentum: float,
    weight_decay: float,
    interval: int,
    kl_clip: float | None,
) -> Trajectory:
    """Yield theta (out, in + 1) after each step. `steps`: (activations (B, in), output gradients (B, out)). The output
    gradients are those of each sample's own loss: B times those of the mean loss."""
    rows, cols = theta.shape
    A, S = np.zeros((cols, cols)), np.zeros((rows, rows))
    A_inv, S_inv, b = np.eye(cols), np.eye(rows), np.zeros((rows, cols))  # the first step sets both inverses
    for t, ((a, g), rate) in enumerate(zip(steps, lr), 1):
        a, g = np.asarray(a, dtype=np.float64), np.asarray(g, dtype=np.float64)
        B = len(a)
        abar = np.hstack([a, np.ones((B, 1))])
        A_new, S_new = abar.T @ abar / B, g.T @ g / B
        e = min(1 - 1 / t, ema)
        A, S = e * A + (1 - e) * A_new, e * S + (1 - e) * S_new
        if (t - 1) % interval == 0:
            pi = np.sqrt((np.trace(A) / cols) / (np.trace(S) / rows))
            A_inv = np.linalg.inv(A + pi * np.sqrt(damping) * np.eye(cols))
            S_inv = np.linalg.inv(S + np.sqrt(damping) / pi * np.eye(rows))
        G = g.T @ abar / B + weight_decay * theta
        N = S_inv @ G @ A_inv
        nu = 1.0 if kl_clip is None else min(1.0, np.sqrt(kl_clip / (rate**2 * abs(np.sum(N * G)))))
        b = momentum * b + nu * N
        theta -= rate * b
        yield theta
