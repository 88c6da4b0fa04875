"""Find the calls for which the host waits for a device. It works on any machine: on a CPU, a call counts if it would
wait on CUDA.

A wait keeps the host from queueing the next kernels, so the device idles. `with HostWaits() as waits:` records them in
`waits.calls`, each with the line that asked for it.

Among tensors of the CPU, `.to(device)` copies nothing, so it isn't found: run the block in torch's FakeTensorMode on a
fake CUDA device for that. `torch.cuda.synchronize` is no call on tensors; it isn't found either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]

READS = {"tolist", "cpu"}  # copies to the host that no operation shows on CPU
SENDS = {"tensor", "as_tensor", "asarray"}  # with a device: copies of Python numbers and arrays from the host
CHECKED = {"_linalg_check_errors", "_linalg_eigh", "_linalg_svd", "linalg_eig", "_linalg_eigvals", "linalg_lstsq"}
"""Decompositions that read on the host whether they succeeded, as torch's documentation says."""
INDEXING = {"index", "index_put_", "index_put", "_index_put_impl_"}  # tagged as dynamic; they wait for masks only
UNKNOWN_RESULT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
TORCH = str(Path(torch.__file__).parent)


class HostWaits:
    """Records the waits of a block, and counts its operations.

    Every tensor stands for one of the device, unless `device` is CUDA: then tensors of the host are read at once."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.on_cuda = device is not None and device.type == "cuda"
        self.calls: list[str] = []
        """One text per wait: the operation, then file and line of the code that calls torch."""
        self.operations = 0
        """The number of operations on tensors, without views: about the number of kernels on CUDA."""

    def __enter__(self) -> HostWaits:
        with ExitStack() as stack:
            stack.enter_context(_Functions(self))
            stack.enter_context(_Operations(self))
            self._close = stack.pop_all().close
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def add(self, name: str) -> None:
        """Record a wait."""
        self.calls.append(f"{name} at {caller()}")


class _Functions(TorchFunctionMode):
    """Sees the calls of torch's Python functions and methods."""

    def __init__(self, waits: HostWaits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        name, keywords = getattr(func, "__name__", ""), kwargs or {}
        tensor = args[0] if args and isinstance(args[0], Tensor) else None
        target: Any = tensor.device if tensor is not None and name == "new_tensor" else keywords.get("device")
        if name in READS:
            waits = tensor is not None and not tensor.is_cuda and not self.waits.on_cuda  # a copy of CUDA's is seen
        else:
            waits = sends(name, tensor, target) and not (self.waits.on_cuda and torch.device(target).type == "cpu")
        if waits:
            self.waits.add(name)
        return func(*args, **keywords)


class _Operations(TorchDispatchMode):
    """Sees the operations that torch's functions consist of."""

    def __init__(self, waits: HostWaits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None) -> Any:
        keywords = kwargs or {}
        self.waits.operations += not func.is_view
        if waits_for_device(func, args, keywords) and not (self.waits.on_cuda and not any_on_cuda(args)):
            self.waits.add(str(func.overloadpacket))
        return func(*args, **keywords)


def sends(name: str, tensor: Tensor | None, device: object) -> bool:
    """Return True for a function that copies numbers or arrays of the host, and no tensor, to a device."""
    return name == "new_tensor" or (name in SENDS and device is not None and tensor is None)


def any_on_cuda(args: Arguments) -> bool:
    """Return True if an operation has a tensor of CUDA."""
    return any(isinstance(one, Tensor) and one.is_cuda for one in args)


def waits_for_device(func: Any, args: Arguments, keywords: Keywords) -> bool:
    """Return True for an operation whose result, or its shape, the host has to know, and for a copy between devices."""
    name = func.overloadpacket.__name__
    if name in INDEXING:
        one_value = len(args) > 2 and isinstance(args[2], Tensor) and args[2].numel() == 1  # torch fills by the mask
        return has_mask(args[1]) and not one_value
    if name == "repeat_interleave":
        return keywords.get("output_size") is None
    if name == "_to_copy":
        target = torch.device(keywords.get("device") or args[0].device)
        return waits_in_copy(args[0], target, bool(keywords.get("non_blocking")))
    if name == "copy_":
        return waits_in_copy(args[1], args[0].device, bool(args[2:] and args[2]) or bool(keywords.get("non_blocking")))
    return name in CHECKED or bool(UNKNOWN_RESULT.intersection(func.tags))


def has_mask(indices: Sequence[Tensor | None]) -> bool:
    """Return True if one of the indices is a mask, whose elements have to be counted."""
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


def waits_in_copy(source: Tensor, target: torch.device, non_blocking: bool) -> bool:
    """Return True for a copy between host and device that the host waits for."""
    return source.device.type != target.type and not non_blocking


def caller() -> str:
    """Return file and line of the innermost code outside torch and this file."""
    for frame in frames():
        name = frame.f_code.co_filename
        if not name.startswith(TORCH) and name != __file__:
            return f"{Path(name).name}:{frame.f_lineno}"
    return "?"


def frames() -> Iterator[Any]:
    """Yield the frames of the call, the innermost first."""
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back
