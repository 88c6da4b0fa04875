"""APOLLO: gradients scaled, by channel or tensor, as Adam would scale a random projection of them.

Hanqing Zhu, Zhenyu Zhang, Wenyan Cong, Xi Liu, Sem Park, Vikas Chandra, Bo Long, David Z. Pan, Zhangyang Wang,
Jinwon Lee (2024), "APOLLO: SGD-like Memory, AdamW-level Performance", arXiv:2412.05270, Algorithm 1 in the form of the
authors' code (zhuhanqing/APOLLO). For rows >= cols:

    R = G P,  P (cols, r) ~ N(0, 1 / r)
    M = b1 M + (1 - b1) R,  V = b2 V + (1 - b2) R^2,  A = M / (sqrt(V) + eps)          M_0 = V_0 = 0
    s_i = ||A_i|| / (||R_i|| + 1e-8) for each row i ("channel"), or one s with the norms of A and R ("tensor")
    U = diag(s) G
    U <- U / (max(||U|| / (u + 1e-8), gamma) / gamma)  if u > 0;   u <- ||U||          u = 0 at first
    theta <- theta - lr sqrt(1 - b2^t) / (1 - b1^t) sqrt(scale) U
    theta <- theta - lr wd theta

With fewer rows than columns all is done on the transposes: channels are columns. r = rank, or ceil(rank_fraction least)
where that is None, at most least = min(rows, cols). gamma = norm_growth; None: no limit. (The authors' u = 0 after a
zero gradient would limit the next ||U|| to about 1e-8.)

P is torch's: randn in float32 of a CPU generator with seed s, of shape (r, cols), transposed, if rows >= cols, else of
shape (rows, r). s = 1 for the first matrix; before the steps projection_interval + 1, 2 projection_interval + 1, ... it
becomes the last of 15 int64 of torch.randint below 2^63 - 1, drawn with the seed s.

Tensors of more than two dimensions are flattened to (shape[0], -1). Fewer than two dimensions: U = M / (sqrt(V) + eps)
with R = g, without scale.
"""

from collections.abc import Iterator

import numpy as np
import torch

from optbench.checks.papers import Array, Betas, Gradients, Rates, Trajectory


def _projections(rows: int, cols: int, r: int, interval: int) -> Iterator[Array]:
    seed = 1
    while True:
        random = torch.Generator().manual_seed(seed)
        shape = (r, cols) if rows >= cols else (rows, r)
        P = (torch.randn(shape, generator=random, dtype=torch.float32) / r**0.5).double().numpy()
        yield from [P.T if rows >= cols else P] * interval
        seed = torch.randint(0, 2**63 - 1, (15,), generator=torch.Generator().manual_seed(seed)).tolist()[14]


def _lengths(X: Array, scale_type: str) -> Array:
    return np.sqrt(np.sum(X**2, axis=1 if scale_type == "channel" else (0, 1), keepdims=True))


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    betas: Betas,
    eps: float,
    weight_decay: float,
    rank: int | None,
    rank_fraction: float,
    projection_interval: int,
    scale_type: str,
    scale: float,
    norm_growth: float | None,
) -> Trajectory:
    """Yield theta after each step."""
    b1, b2 = betas
    matrix = theta.ndim > 1 and theta.size > 0
    rows, cols = (theta.shape[0], theta[0].size) if matrix else (theta.size, 1)
    least = min(rows, cols)
    r = min(int(np.ceil(rank_fraction * least)) if rank is None else rank, least)
    Ps = _projections(rows, cols, r, projection_interval) if matrix else None
    M = V = u = 0.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        G = np.asarray(g, dtype=np.float64).reshape(rows, cols)
        G = G.T if rows < cols else G
        R = G @ next(Ps) if Ps else G
        M = b1 * M + (1 - b1) * R
        V = b2 * V + (1 - b2) * R**2
        U = M / (np.sqrt(V) + eps)
        if matrix:
            U = _lengths(U, scale_type) / (_lengths(R, scale_type) + 1e-8) * G
            if u > 0 and norm_growth:
                U = U / (max(np.linalg.norm(U) / (u + 1e-8), norm_growth) / norm_growth)
            u = np.linalg.norm(U)
            U = np.sqrt(scale) * (U.T if rows < cols else U)
        theta -= rate * np.sqrt(1 - b2**t) / (1 - b1**t) * U.reshape(theta.shape)
        theta -= rate * weight_decay * theta
        yield theta
