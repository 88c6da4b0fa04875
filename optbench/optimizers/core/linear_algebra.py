"""What the optimizers that treat a parameter as a matrix share."""

from __future__ import annotations

import torch
from torch import Tensor


def as_matrix(tensor: Tensor) -> Tensor:
    """A tensor of two or more dimensions as (first, rest): convolutions become (outputs, inputs * kernel)."""
    return tensor.flatten(1)


def inverse_root(matrix: Tensor, power: int, eps: float) -> Tensor:
    """matrix^(-1/power) of a symmetric positive semi-definite matrix (n, n), its eigenvalues raised to at least eps."""
    values, vectors = eigen(matrix)
    return ((vectors * values.clamp(min=eps).pow(-1 / power)) @ vectors.mT).to(matrix.dtype)


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (n,) and eigenvectors (n, n) of a symmetric matrix, in float32 at least; by way of float64 where
    float32 does not converge, as may be with a factor of low rank."""
    wide = at_least_float32(matrix)
    try:
        return torch.linalg.eigh(wide)
    except torch.linalg.LinAlgError:
        values, vectors = torch.linalg.eigh(wide.double())
        return values.to(wide.dtype), vectors.to(wide.dtype)


def at_least_float32(matrix: Tensor) -> Tensor:
    """The matrix in a precision for which decompositions exist."""
    return matrix if matrix.dtype == torch.float64 else matrix.float()
