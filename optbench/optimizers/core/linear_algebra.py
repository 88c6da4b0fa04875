"""Linear algebra of the optimizers that treat a parameter as a matrix."""

from __future__ import annotations

import torch
from torch import Tensor


def as_matrix(tensor: Tensor) -> Tensor:
    """Return a tensor of two or more dimensions as (first, rest): convolutions become (outputs, inputs * kernel)."""
    return tensor.flatten(1)


def inverse_root(matrix: Tensor, power: int, eps: float) -> Tensor:
    """Return matrix^(-1/power) of a symmetric positive semi-definite matrix (n, n); eigenvalues are at least eps."""
    values, vectors = eigen(matrix)
    return ((vectors * values.clamp(min=eps).pow(-1 / power)) @ vectors.mT).to(matrix.dtype)


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (n,) and eigenvectors (n, n) of a symmetric matrix, in at least float32.

    Falls back to float64 where float32 does not converge, which happens for factors of low rank."""
    wide = at_least_float32(matrix)
    try:
        return torch.linalg.eigh(wide)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]  (public, but not in the stubs)
        values, vectors = torch.linalg.eigh(wide.double())
        return values.to(wide.dtype), vectors.to(wide.dtype)


def at_least_float32(matrix: Tensor) -> Tensor:
    """Return the matrix in a precision that decompositions support: float64 as it is, all else as float32."""
    return matrix if matrix.dtype == torch.float64 else matrix.float()
