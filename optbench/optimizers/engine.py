"""The engine that runs an update rule written once, for one tensor.

An algorithm of ours is a function `rule(theta, gradient, *state, *hyperparameters)` that changes theta and its state in
place. The engine calls it for every parameter, either as it stands ("eager") or through `torch.compile` ("compiled").
Compiled, it sees every contiguous tensor as one dimension of any length and every hyperparameter as a 0-d tensor, so
that neither a schedule nor a new shape compiles again. Compiling pays from about a million parameters on.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COMPILED_FROM_PARAMETERS = 1_000_000  # below, the calls cost more than the arithmetic, and compiling takes seconds

Rule = Callable[..., None]


class RuleOptimizer(torch.optim.Optimizer):
    """A torch optimizer from a rule. A subclass sets `rule`, `state_names` and `hyperparameters`."""

    rule: Rule
    state_names: tuple[str, ...] = ()
    """Names of the per-parameter state tensors, all zeros at first, of the parameter's shape and dtype."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], engine: str) -> None:
        super().__init__(params, defaults)
        self.engine = chosen_engine(engine, [p for group in self.param_groups for p in group["params"]])
        self._scalars: dict[tuple[torch.dtype, torch.device], dict[tuple[int, float], Tensor]] = {}

    def hyperparameters(self, group: dict[str, Any]) -> tuple[float, ...]:
        """The rule's last arguments for a parameter group."""
        raise TypeError(f"{type(self).__name__} does not say its hyperparameters")

    def warm_up(self) -> None:
        """Compile the rule before the first step, on tensors of no consequence. Without a working compiler the
        engine becomes eager, and says so in `engine`."""
        if self.engine != "compiled":
            return
        try:
            with torch.no_grad():
                for dtype, device in {(p.dtype, p.device) for group in self.param_groups for p in group["params"]}:
                    scalars = self._as_tensors(self.hyperparameters(self.param_groups[0]), dtype, device)
                    for length in (8, 33):
                        blanks = [
                            torch.zeros(length, dtype=dtype, device=device) for _ in range(2 + len(self.state_names))
                        ]
                        compiled(type(self).rule)(*blanks, *scalars)
        except Exception:  # whatever a broken tool chain raises; the eager rule needs none
            self.engine = "eager"

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rule = compiled(type(self).rule) if self.engine == "compiled" else type(self).rule
        for group in self.param_groups:
            numbers = self.hyperparameters(group)
            for theta in group["params"]:
                if theta.grad is not None:
                    self._apply(rule, theta, numbers)
        return loss

    def _apply(self, rule: Rule, theta: Tensor, numbers: tuple[float, ...]) -> None:
        state = self.state[theta]
        if not state:
            state.update({name: torch.zeros_like(theta) for name in self.state_names})
        tensors = [theta.detach(), theta.grad, *(state[name] for name in self.state_names)]
        if self.engine == "compiled":
            if all(tensor.is_contiguous() for tensor in tensors):
                tensors = [tensor.view(-1) for tensor in tensors]
            numbers = self._as_tensors(numbers, theta.dtype, theta.device)
        rule(*tensors, *numbers)

    def _as_tensors(self, numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Any:
        known = self._scalars.setdefault((dtype, device), {})
        if len(known) > 64:  # a schedule brings a new number every step
            known.clear()
        # keyed by position too: the compiler guards that two arguments are not one tensor
        for key in enumerate(numbers):
            if key not in known:
                known[key] = torch.tensor(key[1], dtype=dtype, device=device)
        return tuple(known[key] for key in enumerate(numbers))


@functools.cache
def compiled(rule: Rule) -> Rule:
    """The rule compiled for tensors of any length."""
    return torch.compile(rule, dynamic=True, fullgraph=True)


def chosen_engine(engine: str, parameters: list[Tensor]) -> str:
    """ "eager" or "compiled"; "auto" compiles large problems where a compiler is at hand."""
    if engine != "auto":
        return engine
    large = sum(p.numel() for p in parameters) >= COMPILED_FROM_PARAMETERS
    return "compiled" if large and has_compiler(parameters[0].device) else "eager"


def has_compiler(device: torch.device) -> bool:
    """Whether torch.compile can make code for the device here."""
    if device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)
