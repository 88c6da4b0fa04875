"""Bytes that an optimizer holds, by dtype, through any wrapper."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from optbench.optimizers.core.interface import Optimizer

PLAIN = (Tensor, nn.Parameter)
PASSIVE = (str, bytes, int, float, type(None), torch.device, torch.dtype, ModuleType, type, nn.Module)
"""Values that hold no tensors of an optimizer's state; a module holds the parameters."""


def state_bytes(optimizer: Optimizer) -> dict[str, int]:
    """Return the bytes of the tensors that the optimizer keeps between steps, by dtype ("float32"), each storage once.

    Everything reachable from its attributes counts, inner optimizers included (a wrapper's own `state` may be empty);
    the parameters and their gradients do not. A tensor of a subclass counts as the tensors that it is made of."""
    totals: dict[str, int] = {}
    for tensor in state_tensors(optimizer):
        if type(tensor) in PLAIN:
            name = str(tensor.dtype).removeprefix("torch.")
            totals[name] = totals.get(name, 0) + tensor.untyped_storage().nbytes()
    return totals


def unmeasurable(optimizer: Optimizer) -> list[str]:
    """Return the classes of the tensors whose bytes cannot be measured: subclasses that hide what they are made of."""
    return sorted({type(tensor).__name__ for tensor in state_tensors(optimizer) if type(tensor) not in PLAIN})


def state_tensors(optimizer: Optimizer) -> Iterator[Tensor]:
    """Yield the tensors that the optimizer keeps beside parameters and gradients, each storage once."""
    own = [p for group in optimizer.param_groups for p in group["params"]]
    seen = {storage_key(part) for p in own for t in (p, p.grad) if t is not None for part in parts_of(t)}
    for tensor in tensors_in(vars(optimizer), set()):
        for part in parts_of(tensor):
            key = storage_key(part)
            if key not in seen:
                seen.add(key)
                yield part


def parts_of(tensor: Tensor) -> list[Tensor]:
    """Return the plain tensors that a tensor of a subclass is made of; the tensor itself where it is plain or hides
    them."""
    if type(tensor) in PLAIN:
        return [tensor]
    inner = [value for value in vars(tensor).values() if isinstance(value, Tensor) and value is not tensor]
    return [part for value in inner for part in parts_of(value)] or as_plain(tensor)


def as_plain(tensor: Tensor) -> list[Tensor]:
    """Return a tensor of a subclass that has memory of its own as a plain one; as it is where it has none."""
    if storage_key(tensor)[1] == id(tensor):
        return [tensor]
    return [tensor.as_subclass(Tensor)]


def tensors_in(tree: object, visited: set[int]) -> Iterator[Tensor]:
    """Yield the tensors in nested containers, in optimizers, and in plain objects such as a projector."""
    if isinstance(tree, Tensor):
        yield tree
        return
    if isinstance(tree, PASSIVE) or id(tree) in visited:
        return
    children: Iterable[object] = ()
    if isinstance(tree, Mapping):
        children = [item for pair in tree.items() for item in pair]
    elif isinstance(tree, (list, tuple, set, frozenset, deque)):
        children = tree
    elif isinstance(tree, torch.optim.Optimizer) or not (callable(tree) or type(tree).__module__.startswith("torch")):
        children = list(getattr(tree, "__dict__", {}).values())
    if children:
        visited.add(id(tree))
    for child in children:
        yield from tensors_in(child, visited)


def storage_key(tensor: Tensor) -> tuple[str, int]:
    """Return the identity of the memory behind a tensor; that of the object where it has none."""
    try:
        address = tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # a subclass without storage
        address = 0
    empty = type(tensor) in PLAIN or not tensor.numel()
    return str(tensor.device), address if address or empty else id(tensor)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of distinct tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)
