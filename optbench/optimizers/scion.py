r"""Scion (Pethick, Xie, Antonakopoulos, Zhu, Silveti-Falls and Cevher, 2025, Training Deep Learning Models with
Norm-Constrained LMOs, arXiv:2502.07529, algorithms 1 and 2; the norms as in the authors' code,
github.com/LIONS-EPFL/scion).

    m_t     = momentum m_{t-1} + (1 - momentum) g_t                 m_0 = 0
    theta_t = (1 - lr) theta_{t-1} - lr radius d(m_t)               constrained: theta stays in a ball of that radius
    theta_t = theta_{t-1} - lr radius d(m_t)                        else

d(m) is the point of the norm's unit ball that is farthest along m. For a matrix (outputs, inputs):

    spectral    sqrt(outputs / inputs) U V^T of m = U S V^T, by Newton-Schulz iterations; for a first layer the root is
                at least 1; for a convolution, flattened to (outputs, rest), the root is divided by the kernel's size
    sign        sign(m) / inputs
    column      every column (of an input) divided by its root mean square, and by inputs
    row         every row (of an output) divided by its length, and by sqrt(inputs)

An embedding is a table (tokens, outputs), and its inputs are single tokens:

    spectral    sqrt(tokens) U V^T
    sign        sign(m)
    column      every token's row divided by its root mean square
    row         every output's column divided by its length

Vectors are divided by their root mean square. The default is the recipe of the authors' nanoGPT, which keeps the
model's own initialisation. Their recipes with radii of about 1 (optimizer.init()) begin on the balls' surfaces; that is
not done here. They scale activations by sqrt(2). State: m, one tensor like the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from optbench.contracts import Parameter, Problem
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import rows_like, stack
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.foreach import Number
from optbench.optimizers.core.newton_schulz import Iteration, newton_schulz
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, bucketed

EPS = 1e-8  # the authors' constant, added to root mean squares and lengths
VECTOR, EMBEDDING, FIRST, HIDDEN, HEAD = KINDS = ("vector", "embedding", "first", "hidden", "head")
RMS = "rms"  # the norm of vectors


@bucketed
def scion(
    thetas: list[Tensor], gradients: list[Tensor], momenta: list[Tensor], step: Number, momentum: Number, keep: Number,
    norm: str, kind: str, iteration: Iteration,
) -> None:  # fmt: skip
    """Take one step of a bucket in place; step = lr * radius; keep = 1 - lr if constrained, else 1."""
    foreach.lerp_(momenta, gradients, 1 - momentum)
    size = factor(thetas[0].shape, norm, kind)
    matrices = stack(momenta).reshape(len(momenta), *matrix_shape(thetas[0].shape, kind))
    directions = direction(matrices, norm, kind == EMBEDDING, iteration, EPS * size)
    foreach.mul_(thetas, keep)
    foreach.sub_(thetas, rows_like(directions, thetas), step * size)


def matrix_shape(shape: torch.Size, kind: str) -> tuple[int, int]:
    """Return the rows and columns of a parameter as a matrix; a vector is a single row."""
    rows = {VECTOR: 1, EMBEDDING: shape[:-1].numel()}.get(kind, shape[:1].numel())
    return rows, shape.numel() // rows


def direction(matrices: Tensor, norm: str, is_table: bool, iteration: Iteration, eps: float) -> Tensor:
    """Return d of matrices (k, m, n) without its factor; NaN where a momentum is not finite."""
    if norm == "spectral":
        coefficients, steps, dtype = iteration
        return newton_schulz(matrices.to(getattr(torch, dtype)), coefficients, steps)
    if norm == "sign":
        return matrices.sign().add_(matrices, alpha=0)
    dim = 1 if (norm == "column") != is_table else 2
    lengths = torch.linalg.vector_norm(matrices, dim=dim, keepdim=True)
    means = lengths if norm == "row" else lengths / math.sqrt(matrices.shape[dim])
    return matrices / (means + eps)


def factor(shape: torch.Size, norm: str, kind: str) -> float:
    """Return the factor of a norm's direction for a parameter of this shape."""
    rows, columns = matrix_shape(shape, kind)
    if norm == RMS or kind == EMBEDDING:
        return math.sqrt(rows) if norm == "spectral" else 1.0
    if norm == "spectral":
        root = math.sqrt(shape[0] / shape[1]) / shape[2:].numel()
        return max(1.0, root) if kind == FIRST and len(shape) == 2 else root
    return 1 / math.sqrt(columns) if norm == "row" else 1 / columns


class Scion(RuleOptimizer):
    """Steps to the far side of a norm's ball, with a norm and a radius for each kind of parameter."""

    rule: Rule = staticmethod(scion)
    state_names = ("m",)

    def __init__(
        self,
        problem: Problem,
        *,
        lr: float,
        momentum: float,
        constrained: bool,
        radius: float,
        embedding_radius: float,
        head_radius: float,
        hidden_norm: str,
        first_norm: str,
        embedding_norm: str,
        head_norm: str,
        ns_steps: int,
        coefficients: str,
        ns_dtype: str,
    ) -> None:
        norms = {VECTOR: RMS, HIDDEN: hidden_norm, FIRST: first_norm, EMBEDDING: embedding_norm, HEAD: head_norm}
        radii = {EMBEDDING: embedding_radius, HEAD: head_radius}
        tensors: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        for parameter in problem.parameters:
            tensors[kind_of(parameter, norms)].append(parameter.tensor)
        groups = [
            {"params": tensors[kind], "kind": kind, "norm": norms[kind], "radius": radii.get(kind, radius)}
            for kind in KINDS
            if tensors[kind]
        ]
        iteration = {"ns_steps": ns_steps, "coefficients": coefficients, "ns_dtype": ns_dtype}
        shared = {"lr": lr, "momentum": momentum, "constrained": constrained, **iteration}
        super().__init__(groups, {**shared, "kind": HIDDEN, "norm": hidden_norm, "radius": radius})

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the numbers of the group's rule."""
        lr, iteration = group["lr"], (group["coefficients"], group["ns_steps"], group["ns_dtype"])
        keep = 1.0 - lr if group["constrained"] else 1.0
        return lr * group["radius"], group["momentum"], keep, group["norm"], group["kind"], iteration


def kind_of(parameter: Parameter, norms: Mapping[str, str]) -> str:
    """Return the kind of a parameter. Where the embedding's norm is "head", it is treated as the head."""
    if parameter.tensor.ndim < 2 or parameter.role in ("bias", "norm"):
        return VECTOR
    if parameter.role == EMBEDDING and norms[EMBEDDING] == HEAD:
        return HEAD
    return parameter.role if parameter.role in KINDS else HIDDEN
