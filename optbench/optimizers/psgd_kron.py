r"""PSGD Kron (Li, 2018, Preconditioner on Matrix Lie Group for SGD, arXiv:1809.10232; whitening of gradients:
Pooladzandi and Li, 2024, arXiv:2402.04553), in the form of kron_torch.

    m_t = momentum m_{t-1} + (1 - momentum) g_t;   M = m_t / (1 - momentum^t)
    A   = Q1 M Q2^T;   B = Q1^-T V Q2^-1           V a fresh Gaussian probe, Q1 and Q2 upper triangular
    Q1 -= precond_lr / max|A A^T + B B^T|  triu(A A^T - B B^T) Q1
    Q2 -= precond_lr / max|A^T A + B^T B|  triu(A^T A - B^T B) Q2
    P   = Q1^T Q1 M Q2^T Q2                        with the new factors
    P  *= min(1, 1.1 / (rms(P) + 1e-12))
    theta_t = theta_{t-1} - lr (P + weight_decay theta_{t-1})

Q^T Q converges to the inverse root of the gradients' second moment. Q1 = Q2 = I at first; they change in every step.
Convolutions are flattened to (outputs, rest). Vectors have one diagonal factor q: A = q M, B = V / q, P = q^2 M. The
divisors are at least 1e-12: otherwise gradients that stay zero would drive the factors to infinity. State: m, and
m^2 + n^2 floats for an m x n matrix (for a vector, q of its length).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.linear_algebra import as_matrix, at_least_float32
from optbench.optimizers.core.rule import ParamGroup, Rule

Probe = Callable[[Tensor], Tensor]
LARGEST_RMS, RMS_EPS, LEAST_DIVISOR = 1.1, 1e-12, 1e-12


def kron(
    theta: Tensor, g: Tensor, m: Tensor, left: Tensor, right: Tensor, lr: float, new: float, unbias: float,
    precond_lr: float, keep: float, *, probe: Probe,
) -> None:  # fmt: skip
    """Take one step of a matrix in place.

    new = 1 - momentum, unbias = 1 - momentum^t, keep = 1 - lr * weight_decay."""
    if not theta.numel():
        return
    m.lerp_(g, new)
    mean, v, q1, q2 = map(at_least_float32, (as_matrix(m), as_matrix(probe(theta)), left, right))
    mean = mean / unbias
    a = q1 @ mean @ q2.mT
    b = torch.linalg.solve_triangular(q1.mT, v, upper=False)
    b = torch.linalg.solve_triangular(q2, b, upper=True, left=False)
    q1 = whitened(q1, a @ a.mT, b @ b.mT, precond_lr)
    q2 = whitened(q2, a.mT @ a, b.mT @ b, precond_lr)
    left.copy_(q1)
    right.copy_(q2)
    descend(theta, q1.mT @ (q1 @ mean @ q2.mT) @ q2, lr, keep)


def kron_vector(
    theta: Tensor, g: Tensor, m: Tensor, q: Tensor, lr: float, new: float, unbias: float, precond_lr: float,
    keep: float, *, probe: Probe,
) -> None:  # fmt: skip
    """Take one step of a vector or scalar in place, with a diagonal factor."""
    if not theta.numel():
        return
    m.lerp_(g, new)
    mean = m / unbias
    a, b = (q * mean).square(), (probe(theta) / q).square()
    q.sub_((a - b) / (a + b).max().clamp(min=LEAST_DIVISOR) * q, alpha=precond_lr)
    descend(theta, q.square() * mean, lr, keep)


def whitened(q: Tensor, a: Tensor, b: Tensor, precond_lr: float) -> Tensor:
    """Return a factor after its step on the group of triangular matrices, towards a = b."""
    largest = (a + b).abs().max().clamp(min=LEAST_DIVISOR)
    return q - (precond_lr / largest) * ((a - b).triu() @ q)


def descend(theta: Tensor, direction: Tensor, lr: float, keep: float) -> None:
    """Step along P, with its root mean square limited."""
    rms = direction.square().mean().sqrt()
    direction = direction * (LARGEST_RMS / (rms + RMS_EPS)).clamp(max=1.0)
    theta.mul_(keep).sub_(direction.view_as(theta), alpha=lr)


class PSGDKron(RuleOptimizer):
    """Gradients whitened by triangular Kronecker factors."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        precond_lr: float,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "precond_lr": precond_lr}
        super().__init__(params, defaults)
        self.probe: Probe = torch.randn_like
        """Draws V for a tensor; a check replaces it by one that records."""

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule for matrices (two factors) or vectors; both draw their own probe."""
        return functools.partial(kron if theta.ndim > 1 else kron_vector, probe=self.probe)

    def new_state(self, theta: Tensor, group: ParamGroup) -> dict[str, Tensor]:
        """Return the moment and identity factors."""
        if theta.ndim < 2:
            return {"m": torch.zeros_like(theta), "q": torch.ones_like(theta)}
        sides = zip(("left", "right"), as_matrix(theta).shape, strict=True)
        eyes = {name: torch.eye(side, dtype=theta.dtype, device=theta.device) for name, side in sides}
        return {"m": torch.zeros_like(theta), **eyes}

    def hyperparameters(self, group: ParamGroup, t: int) -> tuple[float, ...]:
        """Return lr, 1 - momentum, 1 - momentum^t, precond_lr, 1 - lr * weight_decay."""
        momentum, keep = group["momentum"], 1 - group["lr"] * group["weight_decay"]
        return group["lr"], 1 - momentum, 1 - momentum**t, group["precond_lr"], keep
