"""Compiled rules, called without the compiler's guards where possible.

A call through `torch.compile` first compares every argument with what the code was made for. In an optimizer step the
tensors have evicted everything else from the caches, so these guards take longer than the arithmetic of a small layer.
An elementwise rule over 1-d tensors fits whenever the dtypes do: on CPU its code assumes nothing else. So that code is
taken from the compiler once per combination of dtypes and called directly.

On CUDA the length of the first tensor decides how the code divides the work: a sum over a few thousand elements becomes
one block of threads, which takes a thousand times too long for millions. So a rule is compiled twice there, for small
and for large tensors.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from optbench.optimizers.core.rule import Rule, is_elementwise

EXAMPLE_LENGTH = 700
LARGE_FROM = {"cuda": 1 << 14}  # elements: the sum of one block takes as long there as launching those of many
DYNAMIC_THREADS = {"cpp.dynamic_threads": True}  # else the example's length fixes the number of threads: one if short


class Guard(Protocol):
    """One check of a compiled call's arguments."""

    @property
    def guard_type(self) -> str:
        """The kind of check, e.g. TENSOR_MATCH."""
        ...


def compiled_call(rule: Rule, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> Rule:
    """Return the compiled rule for arguments of these dtypes, without guards if it allows that."""
    plain = unguarded(rule, tensors, numbers) if is_elementwise(rule) else None
    return plain or guarded(rule, is_large(tensors[0]))


def is_large(tensor: Tensor) -> bool:
    """Return True for a tensor whose work has to be divided among many blocks of threads."""
    return tensor.numel() >= LARGE_FROM.get(tensor.device.type, math.inf)


@functools.cache
def guarded(rule: Rule, large: bool) -> Rule:
    """Return the rule compiled for tensors of any length, with code that suits small or large ones.

    The code suits the first tensor that it is called with."""
    import_compiler()
    options = {**DYNAMIC_THREADS, "guard_filter_fn": keep_tensor_guards}
    return torch.compile(twin_of(rule) if large else rule, dynamic=True, fullgraph=True, options=options)


def twin_of(rule: Rule) -> Rule:
    """Return the same function with a code object of its own, to which the compiler ties what it has compiled."""
    function: Any = rule
    code = function.__code__.replace(co_name=f"{function.__name__}_large")
    return types.FunctionType(code, function.__globals__, code.co_name, function.__defaults__, function.__closure__)


@functools.cache
def import_compiler() -> None:
    """Import the compiler without its warnings, which would stop it where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("torch._inductor.compile_fx")


def keep_tensor_guards(guards: Sequence[Guard]) -> list[bool]:
    """Keep only the guards of tensors: a rule depends on nothing else, and each guard costs time in every call."""
    return [guard.guard_type in ("TENSOR_MATCH", "SHAPE_ENV") for guard in guards]


def unguarded(rule: Rule, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> Rule | None:
    """Return the compiled form of an elementwise rule for tensors (n,) and 0-d numbers of these dtypes.

    Its arguments are the rule's. None on CUDA, where kernels do assume more about their arguments, and for code whose
    inputs are not recognised."""
    if tensors[0].device.type != "cpu":
        return None
    return _unguarded(rule, tuple(t.dtype for t in tensors), tuple(n.dtype for n in numbers))


@functools.cache
def _unguarded(rule: Rule, tensors: tuple[torch.dtype, ...], numbers: tuple[torch.dtype, ...]) -> Rule | None:
    import_compiler()
    made: list[tuple[torch.fx.GraphModule, Callable[..., object]]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., object]:
        code = torch._inductor.compile(graph, inputs, options=DYNAMIC_THREADS)
        made.append((graph, code))  # type: ignore[arg-type]  (a function here; torch declares a wider union)
        return made[-1][1]

    blanks = [torch.zeros(EXAMPLE_LENGTH, dtype=dtype) for dtype in tensors]
    with torch.no_grad():
        scalars = [torch.ones((), dtype=dtype) for dtype in numbers]
        torch.compile(rule, dynamic=True, fullgraph=True, backend=backend)(*blanks, *scalars)
    if len(made) != 1:
        return None
    order = input_order(made[0][0], list(inspect.signature(rule).parameters))
    return None if order is None else call_in_order(made[0][1], order)


def input_order(graph: torch.fx.GraphModule, names: list[str]) -> list[int | None] | None:
    """Return, for each input of a graph, the number of the rule's argument, or None for the length.

    Return None instead of a list if an input is neither."""
    found: list[int | None] = []
    known = {f"l_{name}_": place for place, name in enumerate(names)}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            length = isinstance(node.meta.get("example_value"), torch.SymInt)
            if not length and node.name not in known:
                return None
            found.append(None if length else known[node.name])
    return found if found.count(None) == 1 else None


def call_in_order(code: Callable[..., object], order: list[int | None]) -> Rule:
    """Return a function that passes the rule's arguments to the code in the graph's order."""

    def call(*arguments: Tensor) -> None:
        length = arguments[0].shape[0]
        code(*[length if place is None else arguments[place] for place in order])

    return call
