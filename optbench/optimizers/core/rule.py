"""The vocabulary of update rules: types, the marks `elementwise` and `bucketed`, and interpolation.

An algorithm of ours is a function `rule(theta, gradient, *state, *hyperparameters)` for one tensor. It changes theta
and the state in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Rule = Callable[..., None]
"""An update rule."""
Hyperparameters = tuple[float | str | Tensor | tuple[float, ...], ...]
"""The last arguments of a rule; a compiled rule takes numbers only, as floats or as 0-d tensors on its device."""
ParamGroup = dict[str, Any]
"""A parameter group as torch has it: "params" (a list of tensors) and hyperparameters of any type."""
State = dict[str, Any]
"""The state of one parameter: tensors by name in the rule's order, and "step", the number of steps so far."""
Loss = Any
"""The return value of a closure: a scalar tensor or a number (torch's stubs declare `step` to return None)."""
Closure = Callable[[], Loss]
"""Evaluates the loss and fills the gradients."""


def elementwise(rule: Rule) -> Rule:
    """Mark a rule that treats every element by itself, so that the engine may concatenate tensors for it."""
    rule.elementwise = True  # type: ignore[attr-defined]  (a function's own attribute)
    return rule


def bucketed(rule: Rule) -> Rule:
    """Mark a rule that is called with lists: theta, gradient and state of all parameters of a bucket (see buckets)."""
    rule.bucketed = True  # type: ignore[attr-defined]
    return rule


def is_elementwise(rule: Rule) -> bool:
    """Return True for a rule marked `elementwise`."""
    return getattr(rule, "elementwise", False)


def is_bucketed(rule: Rule) -> bool:
    """Return True for a rule marked `bucketed`."""
    return getattr(rule, "bucketed", False)


def lerp(a: Tensor, b: Tensor, weight: float | Tensor) -> Tensor:
    """Return a + weight (b - a).

    torch's lerp is one pass in eager mode. Compiled, it compares the weight with 1/2 in every element, which costs a
    tenth of an AdamW step."""
    return a + (b - a) * weight if torch.compiler.is_compiling() else a.lerp(b, weight)


def lerp_(a: Tensor, b: Tensor, weight: float | Tensor) -> None:
    """Set a to a + weight (b - a): the update of a moving average."""
    if torch.compiler.is_compiling():
        a.add_((b - a) * weight)
    else:
        a.lerp_(b, weight)
