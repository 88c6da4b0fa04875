"""Linear algebra that fails in an optimizer's step, for example the eigenvalues of a factor with NaN: training has
diverged, and the reason names the tensor."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from optbench.errors import first_line

LinAlgError = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]  (public, but not in the stubs)
MOST_NAMES = 3


class Diverged(Exception):
    """Training cannot go on; the message is the reason."""


@contextmanager
def algebra_failures_named(module: nn.Module) -> Iterator[None]:
    """Raise Diverged, with the names of a network's parameters, for linear algebra that fails in a block."""
    try:
        yield
    except LinAlgError as error:
        names = failed_parameters(error, module)
        listed = ", ".join(names[:MOST_NAMES]) + f" and {len(names) - MOST_NAMES} more" * (len(names) > MOST_NAMES)
        where = f" for {listed}" * bool(names)
        raise Diverged(f"the optimizer's linear algebra failed{where}: {first_line(error)}") from error


def failed_parameters(error: BaseException, module: nn.Module) -> list[str]:
    """Return the names of the parameters that the failing code worked on; of several, those with broken gradients.

    They are those in the variables of the innermost function that has any: one tensor, or else lists of them."""
    known = {tensor.data_ptr(): name for name, tensor in module.named_parameters() if tensor.numel()}
    gradients = {name: tensor.grad for name, tensor in module.named_parameters()}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        found = names_in(frame.f_locals, known)
        if found:
            return [name for name in found if is_broken(gradients[name])] or found
    return []


def names_in(variables: Mapping[str, object], known: Mapping[int, str]) -> list[str]:
    """Return the names of the known tensors among variables; those in lists only where no variable is one."""
    single = [value for value in variables.values() if isinstance(value, Tensor)]
    listed = [item for value in variables.values() if isinstance(value, (list, tuple)) for item in value]
    for tensors in (single, [item for item in listed if isinstance(item, Tensor)]):
        found = dict.fromkeys(known[t.data_ptr()] for t in tensors if is_plain(t) and t.data_ptr() in known)
        if found:
            return list(found)
    return []


def is_plain(tensor: Tensor) -> bool:
    """Return True for a tensor with memory of its own."""
    return type(tensor) in (Tensor, nn.Parameter) and tensor.numel() > 0


def is_broken(gradient: Tensor | None) -> bool:
    """Return True for a gradient with NaN or infinite entries."""
    return gradient is not None and not bool(gradient.isfinite().all())
