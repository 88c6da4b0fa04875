"""A clip of the user's own: a subclass of `Clip`, or a function in the style of torch.nn.utils.clip_grad_norm_.

def halve(parameters, *, share=0.5):     # the parameters that have a gradient; `share` is a setting, clip.share
    for parameter in parameters:
        parameter.grad *= share          # changed in place; the return value is ignored
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.clipping.base import Clip, ClipReport, gradient_norm
from optbench.config.signature import own_node, required_of
from optbench.config.trees import Node
from optbench.contracts import Problem
from optbench.errors import ConfigError

UNSHARDED = "it is code of your own, which may need whole tensors, and a rank holds parts of them"


def describe(path: str) -> Node:
    """Return the configuration node of a clip: the parameters after its first with their defaults."""
    if required_of(path) < 1:
        hint = "Give a function of the parameters, or a subclass of optbench.clipping.Clip"
        raise ConfigError(f"{path} is no clip: it takes no parameters to clip", hint)
    node = own_node(path, given=1)
    node["about"]["shardable"] = UNSHARDED
    return node


def clip_of(path: str, target: Any) -> Callable[..., Clip]:
    """Return what builds a clip from (problem, **settings): a class does, and a function is the clip itself."""
    if isinstance(target, type):
        return target
    return lambda problem, **settings: FunctionClip(problem, path, target, settings)


class FunctionClip(Clip):
    """A function that changes gradients in place. What it did is measured by the joint norm before and after."""

    def __init__(self, problem: Problem, path: str, function: Callable[..., Any], settings: dict[str, Any]) -> None:
        super().__init__(problem)
        self.path, self.function, self.settings = path, function, settings

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        before = gradient_norm(parameters, self.reductions)
        self.function(list(parameters), **self.settings)
        for parameter in parameters:
            if not isinstance(parameter.grad, Tensor) or parameter.grad.shape != parameter.shape:
                raise ConfigError(f"clip {self.path} leaves a parameter without a gradient of its shape")
        after = gradient_norm(parameters, self.reductions)
        return ClipReport(before, before != after, torch.where(before > 0, after / before, 1.0))
