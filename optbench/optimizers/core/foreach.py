"""torch's operations on lists of tensors: one kernel for all tensors on CUDA.

A number may be a 0-d tensor, as it is in a CUDA graph.

torch documents these functions, but its type stubs do not export their names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

copy_ = torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage]
add_ = torch._foreach_add_  # pyright: ignore[reportPrivateImportUsage]
_lerp = torch._foreach_lerp  # pyright: ignore[reportPrivateImportUsage]
_lerp_ = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
_mul = torch._foreach_mul  # pyright: ignore[reportPrivateImportUsage]
_mul_ = torch._foreach_mul_  # pyright: ignore[reportPrivateImportUsage]
_sub = torch._foreach_sub  # pyright: ignore[reportPrivateImportUsage]
_sub_ = torch._foreach_sub_  # pyright: ignore[reportPrivateImportUsage]

Tensors = Sequence[Tensor]
Number = float | Tensor


def lerp(a: Tensors, b: Tensors, weight: Number) -> list[Tensor]:
    """Return a + weight (b - a)."""
    if not isinstance(weight, Tensor):
        return list(_lerp(list(a), list(b), weight))
    found = list(_mul(_sub(list(b), list(a)), weight))
    add_(found, list(a))
    return found


def lerp_(a: Tensors, b: Tensors, weight: Number) -> None:
    """Set a to a + weight (b - a): the update of moving averages."""
    if isinstance(weight, Tensor):  # torch takes a number here, or a weight for every element
        add_(list(a), _mul(_sub(list(b), list(a)), weight))
    else:
        _lerp_(list(a), list(b), weight)


def mul_(a: Tensors, factor: Number) -> None:
    """Multiply in place; a factor of exactly 1 costs nothing."""
    if isinstance(factor, Tensor) or factor != 1:
        _mul_(list(a), factor)


def sub_(a: Tensors, b: Tensors, factor: Number) -> None:
    """Set a to a - factor b."""
    if isinstance(factor, Tensor):
        _sub_(list(a), list(_mul(list(b), factor)))
    else:
        _sub_(list(a), list(b), alpha=factor)


def squares(a: Tensors) -> list[Tensor]:
    """Return the squares of every element."""
    return list(_mul(list(a), list(a)))
