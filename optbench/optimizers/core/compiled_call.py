"""Compiled rules called without asking each time whether the code fits.

A call through `torch.compile` first compares every argument with what the code was made for. In an optimizer step,
whose tensors have driven all else from the caches, that takes longer than the arithmetic of a small layer. An
elementwise rule over tensors of one dimension fits whenever their types do: nothing else is assumed of them on CPU. So
the code is taken from the compiler once for each combination of types and called as it is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Rule = Callable[..., None]
EXAMPLE_LENGTH = 700
OPTIONS = {"cpp.dynamic_threads": True}  # else the number of threads is fixed by the example's length


def direct(rule: Rule, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> Rule | None:
    """The compiled form of an elementwise rule for tensors (n,) and 0-d numbers of these types, called as the rule is.
    None where the code cannot be called so: on CUDA, whose kernels do assume things of their arguments."""
    if tensors[0].device.type != "cpu":
        return None
    return _direct(rule, tuple(t.dtype for t in tensors), tuple(n.dtype for n in numbers))


@functools.cache
def _direct(rule: Rule, tensors: tuple[torch.dtype, ...], numbers: tuple[torch.dtype, ...]) -> Rule | None:
    made: list[tuple[Any, Any]] = []

    def backend(graph: Any, inputs: Any) -> Any:
        made.append((graph, torch._inductor.compile(graph, inputs, options=OPTIONS)))
        return made[-1][1]

    import torch._inductor

    blanks = [torch.zeros(EXAMPLE_LENGTH, dtype=dtype) for dtype in tensors]
    with torch.no_grad():
        scalars = [torch.ones((), dtype=dtype) for dtype in numbers]
        torch.compile(rule, dynamic=True, fullgraph=True, backend=backend)(*blanks, *scalars)
    if len(made) != 1:
        return None
    order = places(made[0][0], list(inspect.signature(rule).parameters))
    return None if order is None else caller(made[0][1], order)


def places(graph: Any, names: list[str]) -> list[int | None] | None:
    """For each input of a graph, which argument of the rule it is, or None for the length; None for the whole where
    an input is neither."""
    found: list[int | None] = []
    known = {f"l_{name}_": place for place, name in enumerate(names)}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            length = isinstance(node.meta.get("example_value"), torch.SymInt)
            if not length and node.name not in known:
                return None
            found.append(None if length else known[node.name])
    return found if found.count(None) == 1 else None


def caller(code: Any, order: list[int | None]) -> Rule:
    """The code as a function of the rule's arguments."""

    def call(*arguments: Any) -> None:
        length = arguments[0].shape[0]
        code(*[length if place is None else arguments[place] for place in order])

    return call
