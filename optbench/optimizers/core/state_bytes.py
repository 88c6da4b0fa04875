"""Bytes that an optimizer holds, by dtype, through any wrapper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from optbench.optimizers.core.interface import Optimizer


def state_bytes(optimizer: Optimizer) -> dict[str, int]:
    """Return the bytes of the tensors that the optimizer keeps between steps, by dtype ("float32"), each storage once.

    Everything reachable from its attributes counts, inner optimizers included (a wrapper's own `state` may be empty);
    the parameters and their gradients do not."""
    own = [p for group in optimizer.param_groups for p in group["params"]]
    seen = {storage_key(t) for p in own for t in (p, p.grad) if t is not None}
    totals: dict[str, int] = {}
    for tensor in tensors_in(vars(optimizer), set()):
        if storage_key(tensor) not in seen:
            seen.add(storage_key(tensor))
            name = str(tensor.dtype).removeprefix("torch.")
            totals[name] = totals.get(name, 0) + tensor.untyped_storage().nbytes()
    return totals


def tensors_in(tree: object, visited: set[int]) -> Iterator[Tensor]:
    """Yield the tensors in nested containers and optimizers."""
    if isinstance(tree, Tensor):
        yield tree
        return
    if id(tree) in visited:
        return
    children: Iterable[object] = ()
    if isinstance(tree, Mapping):
        children = [item for pair in tree.items() for item in pair]
    elif isinstance(tree, (list, tuple, set)):
        children = tree
    elif isinstance(tree, torch.optim.Optimizer):
        children = vars(tree).values()
    if children:
        visited.add(id(tree))
    for child in children:
        yield from tensors_in(child, visited)


def storage_key(tensor: Tensor) -> tuple[str, int]:
    """Return the identity of the memory behind a tensor."""
    return str(tensor.device), tensor.untyped_storage().data_ptr()


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of distinct tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)
