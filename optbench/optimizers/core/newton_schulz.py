"""Orthogonalisation of matrices by Newton-Schulz iterations: only products, so that it runs in bfloat16 on any device.

X <- a X + (b X X^T + c (X X^T)^2) X. Every iteration costs 4 m^2 n + 2 m^3 operations for m x n matrices, m <= n.
Products with a symmetric result are computed in full: torch has no product that fills one half (BLAS's syrk).

The iteration isn't carried out on the Gram matrix G = X X^T alone (Q <- (a I + b G + c G^2) Q, and Q X at the end).
That takes 0.4 times the operations for n = 9 m, and equals the plain form to rounding in float64. In bfloat16 the
rounding of G hides small singular values: of a matrix with those from 0.001 to 1, some ended at 6 (original) and 1,394
(polar_express); the plain form gave 1.2 and 1.1. With G computed anew from X after the first and third iteration (0.7
times the operations), an orthogonal matrix still ended 0.025 and 0.13 off the exact result; the plain form, 0.005 and
0.015.

For a X + P X, with P = b G + c G^2, (a I + P) X would save a copy of X, a tenth of the time on a CPU. It isn't used
either: in bfloat16 it doubles the error, from 0.011 to 0.021 of the exact result for a Gaussian 256 x 2304 matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.optimizers.core.linear_algebra import norms

Coefficients = tuple[float, float, float]
"""The numbers a, b, c of one iteration."""

Iteration = tuple[str, int, str]
"""Name of the coefficients, number of iterations, and name of their dtype."""

ORIGINAL: Coefficients = (3.4445, -4.7750, 2.0315)
"""Jordan et al. (2024): the steepest slope at zero; singular values end between 0.7 and 1.2."""

SAFETY = 1.01
POLAR_EXPRESS: tuple[Coefficients, ...] = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)
"""Amsel et al. (2025, arXiv:2505.16932, algorithm 1): the best polynomial for what each iteration is given, if singular
values begin in [0.001, 1]. All but the last are applied to X / SAFETY, against rounding."""


def coefficients_of(name: str, steps: int) -> tuple[Coefficients, ...]:
    """Return the coefficients of each iteration: "original" or "polar_express", whose last ones repeat."""
    if name == "original":
        return (ORIGINAL,) * steps
    *safe, last = POLAR_EXPRESS
    first = [(a / SAFETY, b / SAFETY**3, c / SAFETY**5) for a, b, c in safe[:steps]]
    return (*first, *(last,) * (steps - len(first)))


def newton_schulz(matrices: Tensor, coefficients: str, steps: int) -> Tensor:
    """Return roughly U V^T of the singular value decompositions of matrices (k, m, n)."""
    tall = matrices.shape[1] > matrices.shape[2]
    bound = SAFETY if coefficients == "polar_express" else 1.0
    x = matrices / (norms(matrices) * bound + 1e-7)
    for a, b, c in coefficients_of(coefficients, steps):
        gram = torch.bmm(x.mT, x) if tall else torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, x, polynomial, beta=a) if tall else torch.baddbmm(x, polynomial, x, beta=a)
    return x
