"""The engine that runs an update rule written once, for one tensor.

An algorithm of ours is a function `rule(theta, gradient, *state, *hyperparameters)` that changes theta and its state in
place. The engine calls it for every parameter, either as it stands ("eager") or through `torch.compile` ("compiled").
Compiled, it sees every contiguous tensor as one dimension of any length (unless the rule is `shaped`) and every
hyperparameter as a 0-d tensor, so that neither a schedule nor a new shape compiles again. Compiling pays from about a
million parameters on.

What a rule needs besides is said by methods: `new_state` (zeros unless said otherwise), `hyperparameters` of the step,
`rule_of` (where tensors of one optimizer follow different rules) and `before_step` (what concerns all tensors at once).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

COMPILED_FROM_PARAMETERS = 1_000_000  # below, the calls cost more than the arithmetic, and compiling takes seconds

Rule = Callable[..., None]


class Active(NamedTuple):
    """A parameter that has a gradient in this step, with its group and its state."""

    theta: Tensor
    group: dict[str, Any]
    state: dict[str, Any]


class RuleOptimizer(torch.optim.Optimizer):
    """A torch optimizer from a rule. A subclass sets `rule`, `state_names` and `hyperparameters`."""

    rule: Rule
    state_names: tuple[str, ...] = ()
    """Names of the per-parameter state tensors, all zeros at first, of the parameter's shape and dtype."""
    shaped = False
    """Whether the rule needs the tensor's rows and columns; else it sees one dimension."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], engine: str = "eager") -> None:
        super().__init__(params, defaults)
        self.engine = chosen_engine(engine, [p for group in self.param_groups for p in group["params"]])
        self._scalars: dict[tuple[torch.dtype, torch.device], dict[tuple[int, float], Tensor]] = {}

    # -- what a subclass says ----------------------------------------------------------------------------------------

    def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
        """The rule's last arguments in step t (from 1) for a parameter group."""
        raise TypeError(f"{type(self).__name__} does not say its hyperparameters")

    def new_state(self, theta: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        """The state tensors before the first step, in the order in which the rule takes them."""
        return {name: torch.zeros_like(theta) for name in self.state_names}

    def rule_of(self, theta: Tensor, group: dict[str, Any], t: int) -> Rule:
        """The rule of a tensor in step t."""
        return type(self).rule

    def before_step(self, active: list[Active]) -> None:
        """Called with every tensor of the step before the first is changed."""

    # -- the step ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = list(self._active())
        self.before_step(active)
        for theta, group, state in active:
            rule = self.rule_of(theta, group, state["step"])
            self._apply(rule, theta, state, self.hyperparameters(group, state["step"]))
        return loss

    def _active(self) -> Iterator[Active]:
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is None:
                    continue
                state = self.state[theta]
                if not state:
                    state.update(step=0, **self.new_state(theta, group))
                state["step"] += 1
                yield Active(theta, group, state)

    def _apply(self, rule: Rule, theta: Tensor, state: dict[str, Any], numbers: tuple[float, ...]) -> None:
        tensors = [theta.detach(), theta.grad, *(value for name, value in state.items() if name != "step")]
        if self.engine != "compiled":
            rule(*tensors, *numbers)
            return
        if not self.shaped and all(tensor.is_contiguous() for tensor in tensors):
            tensors = [tensor.view(-1) for tensor in tensors]
        compiled(rule)(*tensors, *self._as_tensors(numbers, theta.dtype, theta.device))

    # -- compiling ---------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Compile the rules before the first step, on tensors of no consequence. Without a working compiler the
        engine becomes eager, and says so in `engine`."""
        if self.engine != "compiled":
            return
        try:
            with torch.no_grad():
                for theta, group in self._patterns():
                    self._try_out(theta, group)
        except Exception:  # whatever a broken tool chain raises; the eager rule needs none
            self.engine = "eager"

    def _patterns(self) -> Iterator[tuple[Tensor, dict[str, Any]]]:
        """One parameter of every kind that is compiled apart: by rule, dtype, device and, where shaped, rank."""
        seen = set()
        for group in self.param_groups:
            for theta in group["params"]:
                rank = theta.ndim if self.shaped else 0
                key = (self.rule_of(theta, group, 1), theta.dtype, theta.device, rank)
                if key not in seen:
                    seen.add(key)
                    yield theta, group

    def _try_out(self, theta: Tensor, group: dict[str, Any]) -> None:
        for length in (3, 5):  # two lengths: the second makes the compiled code one for any length
            sides = [length + side for side in range(theta.ndim)] if self.shaped else [length]
            blank = torch.zeros(sides, dtype=theta.dtype, device=theta.device).requires_grad_()
            blank.grad = torch.zeros_like(blank)
            state = {"step": 1, **self.new_state(blank, group)}
            self._apply(self.rule_of(blank, group, 1), blank, state, self.hyperparameters(group, 1))

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
