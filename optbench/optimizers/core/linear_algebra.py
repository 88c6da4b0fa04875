"""Linear algebra of the optimizers that treat a parameter as a matrix, or dimension by dimension."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def as_matrix(tensor: Tensor) -> Tensor:
    """Return a tensor of two or more dimensions as (first, rest): convolutions become (outputs, inputs * kernel)."""
    return tensor.flatten(1)


def norms(matrices: Tensor) -> Tensor:
    """Return the Frobenius norms (k, 1, 1) of matrices (k, m, n)."""
    return torch.linalg.vector_norm(matrices, dim=(1, 2), keepdim=True)


def unfold(tensors: Tensor, dim: int) -> Tensor:
    """Return stacked tensors (k, *shape) as matrices of one dimension's entries and the rest, (k, n, rest)."""
    return tensors.movedim(dim + 1, 1).reshape(len(tensors), tensors.shape[dim + 1], -1)


def along(matrix: Tensor, tensor: Tensor, dim: int) -> Tensor:
    """Return the product of a matrix (k, n) with a tensor's dimension `dim`, of n entries."""
    rest = tensor.movedim(dim, 0).shape[1:]
    return (matrix @ unfold(tensor[None], dim)[0]).view(-1, *rest).movedim(0, dim)


def rotated(tensors: Tensor, bases: Mapping[int, Tensor]) -> Tensor:
    """Return stacked tensors (k, *shape) in the coordinates of bases (k, n, n), by dimension: Q^T X, for each.

    Each product moves a dimension to the end, so that all are back in their places after the last."""
    for dim in range(tensors.ndim - 1):
        rest = tensors.shape[2:]
        rows = tensors.flatten(2).mT if rest else tensors[:, None]
        product = rows @ bases[dim] if dim in bases else rows
        tensors = product.reshape(len(tensors), *rest, -1)
    return tensors


def inverse_root(matrix: Tensor, power: int, eps: float) -> Tensor:
    """Return (matrix + eps I)^(-1/power) of symmetric positive semi-definite matrices (..., n, n).

    Where rounding has made an eigenvalue less than eps, all are raised so that the least is eps."""
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    values, vectors = eigen(matrix + eps * eye)
    least = values.amin(-1, keepdim=True)
    values = torch.where(least < eps, (values - least) + eps, values)  # in this order: eps may be lost beside the least
    return ((vectors * values.pow(-1 / power)[..., None, :]) @ vectors.mT).to(matrix.dtype)


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (..., n) and eigenvectors (..., n, n) of symmetric matrices, in at least float32.

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
