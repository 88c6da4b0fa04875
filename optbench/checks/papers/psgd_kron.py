"""PSGD with a Kronecker-factored whitening preconditioner ("Kron").

Xi-Lin Li (2015), "Preconditioned Stochastic Gradient Descent", arXiv:1512.04202; Xi-Lin Li (2018), "Preconditioner on
Matrix Lie Group for SGD", arXiv:1809.10232 (triangular Kronecker factors, updated by multiplication); Omead
Pooladzandi, Xi-Lin Li (2024), "Curvature-Informed SGD via General Purpose Lie-Group Preconditioners",
arXiv:2402.04553 (gradient whitening). Form of the update as in evanatyourservice/kron_torch.

The preconditioner P = Q^T Q, Q = Q2 (x) Q1 with upper-triangular Q1 and Q2, minimises E[m^T P m + v^T P^-1 v] for
v ~ N(0, I). The minimum is P = (E[m m^T])^{-1/2}. Each step, with V the given probe:

    m = mu m + (1 - mu) G,  M = m / (1 - mu^t)
    in a step with an update of Q (U is M; without momentum_into_precond it is G, and M stays undamped):
        in some of them: every Q_i *= (geometric mean over i of max|Q_i|) / max|Q_i|          tensors of >= 2 dimensions
        U <- U + damping mean|U| V
        A = U times Q_i in each dimension i,  B = V times Q_i^-T in each                     with the old Q_i
        A_i, B_i: A and B with dimension i first and the rest flattened
        Q_i <- Q_i - precond_lr / ||A_i A_i^T + B_i B_i^T|| triu(A_i A_i^T - B_i B_i^T) Q_i
    P = M times Q_i^T Q_i in each dimension                                                  with the new Q_i
    P <- P * min(1, 1.1 / (rms(P) + 1e-12))
    theta <- theta - lr (P + wd theta)

||S||: S scaled to a largest entry of 1; x = its column of the largest norm; x <- S x / |S x|; |S x|, scaled back.
A diagonal Q_i is a vector q: q <- q - precond_lr / max(a + b) (a - b) q, a and b the diagonals of A_i A_i^T, B_i B_i^T.
Q_i = precond_init_scale^(1 / dimensions) I at the start.

Dimensions: kron_torch's merge_dims=True (its default) makes matrices of tensors of three or more dimensions, (all but
the last, last), unless columns minus rows are fewer for (first, all but the first). A dimension has a diagonal factor
if it has one entry or more than max_size_triangular, if the tensor has fewer than min_ndim_triangular dimensions, or by
memory_save_mode.
Schedule: step n = 0, 1, ... has the probability min(p, max(update_min, p exp(-update_decay (n - update_flat)))),
p = update_probability. An update happens in the first step that is at least 1 / probability after the last one.
Balancing: Python's random.Random(42) gives one number for every step; below `balance` an update balances.

Choices:
* The probe V is given with the gradient, so the run is deterministic. A step without an update has none.
* Weight decay applies to every parameter (kron_torch: only ndim >= 2), is scaled by lr, and is not clipped.
* All in float64 (kron_torch: Q in float32).
"""

import random
from collections.abc import Iterable

import numpy as np

from optbench.checks.papers import Array, Evidence, Rates, Trajectory


def _rows(X: Array, i: int) -> Array:
    return np.moveaxis(X, i, 0).reshape(X.shape[i], -1)


def _along(Q: Array, X: Array, i: int) -> Array:
    return np.moveaxis(np.tensordot(Q, X, axes=(1, i)), 0, i)


def _bound(S: Array) -> float:
    scale = np.abs(S).max()
    S = S / scale
    x = S[:, np.argmax(np.sum(S**2, axis=0))] @ S
    return float(scale * np.linalg.norm(S @ (x / np.linalg.norm(x))))


def _merged(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) < 3:
        return shape or (1,)
    one = int(np.prod(shape[:-1])), shape[-1]
    two = shape[0], int(np.prod(shape[1:]))
    return one if one[1] - one[0] <= two[1] - two[0] else two


def _diagonal(shape: tuple[int, ...], cap: int, few: int, mode: str | None) -> list[bool]:
    order = np.argsort(shape, kind="stable")
    saved = {None: [], "one_diag": [order[-1]], "all_diag": list(order)}.get(mode)
    if saved is None:  # smart_one_diag
        saved = [order[-1]] if len(shape) > 1 and shape[order[-1]] > shape[order[-2]] else []
    return [side == 1 or side > cap or len(shape) < few or i in saved for i, side in enumerate(shape)]


def _balanced(Qs: list[Array]) -> list[Array]:
    sizes = [np.abs(Q).max() for Q in Qs]
    return [Q * np.exp(np.mean(np.log(sizes))) / size for Q, size in zip(Qs, sizes, strict=True)]


def _updated(Qs: list[Array], diagonal: list[bool], U: Array, V: Array, precond_lr: float) -> list[Array]:
    A, B, new = U, V, []
    for i, Q in enumerate(Qs):
        A, B = _along(Q, A, i), _along(np.linalg.inv(Q).T, B, i)
    for i, Q in enumerate(Qs):
        a, b = _rows(A, i) @ _rows(A, i).T, _rows(B, i) @ _rows(B, i).T
        if diagonal[i]:
            size, step = np.diag(a + b).max(), np.diag(np.diag(a - b))
        else:
            size, step = _bound(a + b), np.triu(a - b)
        new.append(Q - precond_lr / size * step @ Q)
    return new


def _step(Qs: list[Array], M: Array) -> Array:
    P = M
    for i, Q in enumerate(Qs):
        P = _along(Q.T @ Q, P, i)
    return P * min(1.0, 1.1 / (np.sqrt(np.mean(P**2)) + 1e-12))


def paper(
    theta: Array,
    steps: Iterable[tuple[Array, Evidence]],
    *,
    lr: Rates,
    momentum: float,
    weight_decay: float,
    precond_lr: float,
    precond_init_scale: float,
    damping: float,
    momentum_into_precond: bool,
    update_probability: float,
    update_min: float,
    update_decay: float,
    update_flat: int,
    balance: float,
    merge_dims: bool,
    max_size_triangular: int,
    min_ndim_triangular: int,
    memory_save_mode: str | None,
) -> Trajectory:
    """Yield theta after each step. `steps`: (gradient, {"probe": V}), both of theta's shape; None without an update."""
    if theta.size == 0:  # no largest entry to divide by
        yield from (theta for _ in steps)
        return
    shape = _merged(theta.shape) if merge_dims else theta.shape or (1,)
    diagonal = _diagonal(shape, max_size_triangular, min_ndim_triangular, memory_save_mode)
    start = precond_init_scale ** (1 / len(shape))
    Qs = [start * np.eye(side) for side in shape]
    m, draws, waited = np.zeros(shape), random.Random(42), 0
    for t, ((g, evidence), rate) in enumerate(zip(steps, lr), 1):
        G = np.asarray(g, dtype=np.float64).reshape(shape)
        m = momentum * m + (1 - momentum) * G
        M = m / (1 - momentum**t)
        waited, draw = waited + 1, draws.random()
        share = max(update_min, update_probability * np.exp(-update_decay * (t - 1 - update_flat)))
        if waited >= 1 / min(update_probability, share):
            waited = 0
            if draw < balance and len(shape) > 1:
                Qs = _balanced(Qs)
            V = np.asarray(evidence["probe"], dtype=np.float64).reshape(shape)
            U = M if momentum_into_precond else G
            U = U + damping * np.abs(U).mean() * V
            M = U if momentum_into_precond else M
            Qs = _updated(Qs, diagonal, U, V, precond_lr)
        P = _step(Qs, M)
        theta -= rate * (P.reshape(theta.shape) + weight_decay * theta)
        yield theta
