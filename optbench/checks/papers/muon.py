"""Muon: momentum orthogonalised by Newton-Schulz.

Keller Jordan, Yuchen Jin, Vlado Boza, Jiacheng You, Franz Cesista, Laker Newhouse, Jeremy Bernstein (2024),
"Muon: An optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon/ (no arXiv id,
the algorithm is unnumbered). Scale "rms": Jingyuan Liu et al. (2025), "Muon is Scalable for LLM Training" (Moonlight),
arXiv:2502.16982, equation 4.

    B_t = mu B_{t-1} + (1 - mu) G_t                        B_0 = 0, no bias correction
    U_t = (1 - mu) G_t + mu B_t  (Nesterov),  else B_t
    X_0 = U_t / (||U_t||_F + 1e-7)                         transposed first if it has more rows than columns
    X_k = a X + (b A + c A A) X,  A = X X^T                (a, b, c) = (3.4445, -4.7750, 2.0315), or `polar_express`
    theta <- (1 - lr wd) theta - lr * factor * O_t         O_t = the last X, transposed back

factor: "original" sqrt(max(1, rows / cols)), "rms" 0.2 sqrt(max(rows, cols)). Tensors of more than two dimensions are
flattened to (shape[0], -1); rows and cols are those of the flattened matrix. (The reference code computes its factor
from the last two dimensions of the unflattened gradient, so it differs for convolutions.) The iteration here runs in
float64. The reference runs it in bfloat16 and loses about two digits.

With cautious_momentum U_t is multiplied by the mask B_t G_t > 0 over its mean (at least 1e-3): Kaizhao Liang et al.
(2024), "Cautious Optimizers", arXiv:2411.16085, as in their c_muon. With polar_express |U_t| is multiplied by 1.01.

Fewer than two dimensions: AdamW with adam_lr, adam_betas and adam_eps; the decay is 1 - adam_lr wd.
"""

import numpy as np

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory
from optbench.checks.papers.adamw import paper as adamw

Triples = list[tuple[float, float, float]]


def _best_quintic(low: float, high: float) -> Array:
    """Return a, b, c of the odd polynomial a x + b x^3 + c x^5 whose largest distance to 1 on [low, high] is least.

    Remez: its error is equal at both ends and at two points between, with alternating sign."""
    if low > (1 - 5e-6) * high:
        return np.array([15 / 8 / high, -10 / 8 / high**3, 3 / 8 / high**5])
    x = np.array([low, (3 * low + high) / 4, (low + 3 * high) / 4, high])
    for _ in range(100):
        a, b, c, _ = np.linalg.solve(np.stack([x, x**3, x**5, [1, -1, 1, -1]], 1), np.ones(4))
        extrema = np.sort(np.roots([5 * c, 3 * b, a]).real) ** 0.5
        x, last = np.array([low, *extrema, high]), x
        if np.allclose(x, last, rtol=1e-15, atol=0):
            break
    return np.array([a, b, c])


def polar_express(steps: int, safety: float = 1.01) -> Triples:
    """Return the coefficients of the Polar Express (arXiv:2505.16932, algorithm 1 and its listing).

    Each is the best for the interval that the one before leaves of [0.001, 1], centred around 1. The lower end of an
    interval is at least 0.02407 of the upper one. All but the eighth and later ones are made safe."""
    low, high, found = 1e-3, 1.0, []
    for step in range(1, steps + 1):
        p = _best_quintic(max(low, 0.02407327424182761 * high), high)
        p = 2 * p / (p @ [low, low**3, low**5] + p @ [high, high**3, high**5])
        low = float(p @ [low, low**3, low**5])
        high = 2 - low
        found.append(tuple(p / [safety, safety**3, safety**5] if step < 8 else np.array([15, -10, 3]) / 8))
    return found


def orthogonal(U: Array, steps: int, coefficients: str) -> Array:
    """Return roughly U V^T of the singular value decomposition."""
    polar = coefficients == "polar_express"
    X = U.T if U.shape[0] > U.shape[1] else U
    X = X / (np.linalg.norm(X) * (1.01 if polar else 1.0) + 1e-7)
    for a, b, c in polar_express(steps) if polar else [(3.4445, -4.7750, 2.0315)] * steps:
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if U.shape[0] > U.shape[1] else X


def direction(G: Array, B: Array, momentum: float, nesterov: bool, cautious: bool) -> Array:
    """Return what is orthogonalised, from the gradient and the new momentum."""
    U = (1 - momentum) * G + momentum * B if nesterov else B
    mask = B * G > 0
    return U * mask / max(mask.mean(), 1e-3) if cautious else U


def _matrix(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    weight_decay: float,
    scale: str,
    coefficients: str,
    cautious_momentum: bool,
) -> Trajectory:
    if theta.size == 0:  # nothing to orthogonalise
        yield from (theta for _ in steps)
        return
    rows, cols = theta.shape[0], theta[0].size
    factor = {"original": max(1.0, rows / cols) ** 0.5, "rms": 0.2 * max(rows, cols) ** 0.5}[scale]
    B = np.zeros((rows, cols))
    for g, rate in zip(steps, lr):
        G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
        B = momentum * B + (1 - momentum) * G
        U = direction(G, B, momentum, nesterov, cautious_momentum)
        step = factor * orthogonal(U, ns_steps, coefficients)
        theta *= 1 - rate * weight_decay
        theta -= rate * step.reshape(theta.shape)
        yield theta


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    momentum: float,
    nesterov: bool,
    ns_steps: int,
    scale: str,
    weight_decay: float,
    adam_lr: Rates,
    adam_betas: Betas,
    adam_eps: float,
    coefficients: str = "original",
    cautious_momentum: bool = False,
) -> Trajectory:
    """Yield theta after each step."""
    if theta.ndim < 2:
        yield from adamw(theta, steps, lr=adam_lr, betas=adam_betas, eps=adam_eps, weight_decay=weight_decay)
    else:
        yield from _matrix(
            theta,
            steps,
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=ns_steps,
            weight_decay=weight_decay,
            scale=scale,
            coefficients=coefficients,
            cautious_momentum=cautious_momentum,
        )
