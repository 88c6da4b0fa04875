"""The engine that runs an update rule written once, for one tensor.

The engine calls a rule for every parameter, either as it stands ("eager") or through `torch.compile` ("compiled").
Compiled, the rule sees every tensor as one dimension of any length (unless it is `shaped`) and every hyperparameter as
a 0-d tensor, so that neither a schedule nor a new shape compiles again. If the rule is `elementwise`, small tensors
with equal hyperparameters are concatenated and split again, because a call costs more than their arithmetic. Compiling
pays off from about a million parameters on.

A rule that is `bucketed` is called once for all parameters of equal shape, with lists (see `buckets`). It runs eagerly.
Beside one, an elementwise rule gets its small tensors concatenated in the eager engine too.

A rule's further needs are methods: `new_state` (zeros by default), `hyperparameters` of the step, `rule_of` (where
tensors of one optimizer follow different rules) and `before_step` (for work on all tensors at once). A rule that needs
sums over all tensors sets `summing`, a rule of its own that updates the state and adds to those sums.
"""

from __future__ import annotations

import functools
import itertools
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from optbench.config.notices import say_once
from optbench.errors import first_line, is_out_of_memory
from optbench.optimizers.core import foreach
from optbench.optimizers.core.buckets import Call, run_buckets
from optbench.optimizers.core.choose_engine import choose_engine
from optbench.optimizers.core.compiled_call import compiled_call
from optbench.optimizers.core.flat_views import chunks, flat_views
from optbench.optimizers.core.graph_numbers import GraphNumbers
from optbench.optimizers.core.rule import (
    Closure,
    Hyperparameters,
    Loss,
    ParamGroup,
    Rule,
    State,
    is_bucketed,
    is_elementwise,
)
from optbench.optimizers.core.storage import StoredState

# Elements below which a tensor is concatenated with others, and about the most in one concatenation. CPU (measured): a
# call costs 20 us, as much as copying 16 Ki elements of all tensors there and back. CUDA (estimated at 3 TB/s): 1 Mi.
CONCATENATED_BELOW = {"cpu": 1 << 14, "cuda": 1 << 20}
CONCATENATED_AT_MOST = {"cpu": 1 << 20, "cuda": 1 << 24}

# Elements of the tensors that rules are compiled with, all in warm-up. CPU: sums of more than 4096 elements have other
# code. CUDA: a small tensor and a large one, whose sums are divided among some 256 blocks.
EXAMPLE_LENGTHS = {"cpu": (700, 7000), "cuda": (7000, 1 << 21)}

Numbers = tuple[float | Tensor, ...]
"""The hyperparameters of a rule that can be compiled."""


class Active(NamedTuple):
    """A parameter that has a gradient in this step, with its group and its state."""

    theta: Tensor
    group: ParamGroup
    state: State


class Chosen(NamedTuple):
    """A rule for every tensor, and its arguments after the state for a group."""

    rule: Rule
    numbers: Callable[[ParamGroup], Numbers]


class RuleOptimizer(StoredState):
    """A torch optimizer from a rule. A subclass sets `rule`, `state_names` and `hyperparameters`."""

    rule: Rule
    state_names: tuple[str, ...] = ()
    """Names of the per-parameter state tensors: zeros at first, with the parameter's shape and dtype."""
    shaped = False
    """True if the rule needs the tensor's rows and columns; else it sees one dimension."""
    summing: Rule | None = None
    """A rule that runs before the step (see `add_up`). It treats every element by itself, but for its sums."""
    sums = 0
    """The number of sums, the last arguments of `summing`: tensors (1,) in float64, to which it adds."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any], engine: str = "eager") -> None:
        super().__init__(params, defaults)
        self.engine = choose_engine(self._not_bucketed()) if engine == "auto" else engine
        self._views: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}
        self.graph_numbers: GraphNumbers | None = None
        """The hyperparameters as tensors, for steps that a CUDA graph repeats."""

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_views": {}}  # torch keeps only groups and state, so a copy would lack its engine

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the rule's last arguments in step t (from 1) for a parameter group."""
        raise TypeError(f"{type(self).__name__} does not define hyperparameters()")

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the state tensors before the first step, in the rule's order."""
        return {name: torch.zeros_like(theta) for name in self.state_names}

    def own_values(self, theta: Tensor, group: ParamGroup, t: int) -> tuple[Any, ...]:
        """Return a bucketed rule's arguments between state and hyperparameters: values of the tensor alone in step t,
        such as a seed."""
        return ()

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of a tensor in step t."""
        return type(self).rule

    def before_step(self, active: list[Active]) -> None:
        """Prepare the step; called with all its tensors before the first one changes."""

    def summing_numbers(self, group: ParamGroup) -> Numbers:
        """Return the arguments of `summing` between the state and the sums."""
        raise TypeError(f"{type(self).__name__} does not define summing_numbers()")

    def add_up(self, active: list[Active]) -> list[Tensor]:
        """Run `summing` on all tensors; return its sums over them, 0-d float64 tensors on the device of the first."""
        rule, device = type(self).summing, active[0].theta.device
        assert rule is not None
        sums = [torch.zeros(1, dtype=torch.float64, device=device) for _ in range(self.sums)]
        self._run_joined(active, Chosen(rule, lambda group: (*self.summing_numbers(group), *sums)))
        return [total[0] for total in sums]

    # -- the step ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Loss:
        """Update every parameter that has a gradient; return the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = list(self._active())
        self.before_step(active)
        single = self._run_buckets(active)
        if self.engine == "compiled" or len(single) < len(active):
            self._run_joined(single)
        else:
            for call in map(self._call_of, single):
                call.rule(*call.tensors, *call.numbers)
        return loss

    def _active(self) -> Iterator[Active]:
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is None or not theta.numel():
                    continue
                state = self.state[theta]
                if not state:
                    state.update(step=0, **self._stored_state(theta, group))
                state["step"] += self.graph_numbers is None or not self.graph_numbers.frozen
                yield Active(theta, group, state)

    def has_buckets(self) -> bool:
        """Return True if a rule treats parameters of equal shape together."""
        return len(self._not_bucketed()) < sum(len(group["params"]) for group in self.param_groups)

    def _not_bucketed(self) -> list[Tensor]:
        """Return the parameters whose rule the engine can compile."""
        pairs = ((theta, group) for group in self.param_groups for theta in group["params"])
        return [theta for theta, group in pairs if not is_bucketed(self.rule_of(theta, group, 2))]

    def _run_buckets(self, active: list[Active]) -> list[Active]:
        """Run the bucketed rules; return the parameters that have others."""
        marks = [is_bucketed(self.rule_of(theta, group, state["step"])) for theta, group, state in active]
        run_buckets(map(self._call_of, itertools.compress(active, marks)))
        return [one for one, mark in zip(active, marks, strict=True) if not mark]

    def _call_of(self, one: Active) -> Call:
        """Return the rule of a parameter with its arguments."""
        theta, group, state = one
        tensors = [theta.detach(), theta.grad, *tensors_of(state)]
        t = state["step"]
        rule, numbers = self._stored_rule(theta, group, t), self._numbers(theta, group, t)
        return Call(rule, cast(list[Tensor], tensors), numbers, self.own_values(theta, group, t))

    def _numbers(self, theta: Tensor, group: ParamGroup, t: int) -> tuple[Any, ...]:
        """Return the hyperparameters of a tensor's step t, as tensors where a CUDA graph reads them."""
        numbers = self.hyperparameters(group, t)
        if self.graph_numbers is None:
            return numbers
        return self.graph_numbers.of(group, t, numbers, number_dtype(theta.dtype), theta.device)

    def advance(self) -> None:
        """Do what is the host's part of a step that a CUDA graph takes: count it, and fill in its numbers."""
        if self.graph_numbers is not None:
            self.graph_numbers.advance(self, self._numbers)

    # -- compiled or concatenated ------------------------------------------------------------------------------------

    def _run_joined(self, active: list[Active], chosen: Chosen | None = None) -> None:
        """Run the rules: large tensors one by one, small ones of elementwise rules concatenated by what they share.

        `chosen` gives another rule than the tensor's own, and its numbers."""
        numbers: dict[tuple[int, int], Numbers] = {}
        small: dict[tuple[Rule, Numbers, torch.device, tuple[torch.dtype, ...]], list[list[Tensor]]] = {}
        for theta, group, state in active:
            t = state["step"]
            rule = chosen.rule if chosen else self._stored_rule(theta, group, t)
            if (id(group), t) not in numbers:
                of_step = chosen.numbers(group) if chosen else self._numbers(theta, group, t)
                numbers[id(group), t] = cast(Numbers, of_step)
            joins = chosen is not None or is_elementwise(rule)
            tensors = [theta, theta.grad, *tensors_of(state)]
            as_it_is = self.shaped or (self.engine == "eager" and not is_elementwise(rule))
            views = self._flat_views if self.engine == "compiled" else flat_views
            flat = None if as_it_is else views(tensors)
            few = theta.numel() < CONCATENATED_BELOW.get(theta.device.type, 0)
            if flat and few and joins:
                kind = (rule, numbers[id(group), t], theta.device, tuple(tensor.dtype for tensor in flat))
                small.setdefault(kind, []).append(flat)
            elif flat or as_it_is:
                self._call(rule, flat or [tensor.data for tensor in tensors], numbers[id(group), t])
            else:
                self._call_on_copies(rule, tensors, numbers[id(group), t])
        for (rule, values, device, _), rows in small.items():
            for chunk in chunks(rows, CONCATENATED_AT_MOST[device.type]):
                self._call_concatenated(rule, chunk, values)
        torch.autograd.graph.increment_version([theta for theta, _, _ in active])  # as a change in place does

    def _flat_views(self, tensors: list[Tensor]) -> list[Tensor] | None:
        """Return `flat_views(tensors)`, cached from the last step except for the gradient."""
        theta, g, *state = tensors
        own, flat = self._views.get(id(theta), ((), ()))
        same = own and theta.data_ptr() == flat[0].data_ptr() and all(map(operator.is_, own, (theta, *state)))
        if same and g.is_contiguous():
            return [flat[0], g.view(-1).data, *flat[1:]]
        found = flat_views(tensors)
        if found and theta.is_contiguous():
            self._views[id(theta)] = ((theta, *state), (found[0], *found[2:]))
        return found

    def _call_concatenated(self, rule: Rule, rows: list[list[Tensor]], numbers: Numbers) -> None:
        """Concatenate several 1-d parameters, run the rule once, split the results; gradients are only read."""
        columns = list(zip(*rows, strict=True))
        joined = [torch.cat(column) for column in columns]
        self._call(rule, joined, numbers)
        lengths = [tensor.numel() for tensor in columns[0]]
        for place in (0, *range(2, len(columns))):
            foreach.copy_(columns[place], joined[place].split(lengths))

    def _call_on_copies(self, rule: Rule, tensors: list[Tensor], numbers: Numbers) -> None:
        """Run the rule on copies: for a parameter whose memory layout differs from its gradient's or state's."""
        copies = [tensor.contiguous().view(-1).data for tensor in tensors]
        self._call(rule, copies, numbers)
        for tensor, copy in zip(tensors[:1] + tensors[2:], copies[:1] + copies[2:], strict=True):
            tensor.copy_(copy.view(tensor.shape))

    def _call(self, rule: Rule, tensors: list[Tensor], numbers: Numbers) -> None:
        one = tensors[0].numel() < 2 and not self.shaped  # the compiler makes other code for lengths 0 and 1
        if self.engine == "eager" or one:
            rule(*tensors, *numbers)
        else:
            dtype, device = number_dtype(tensors[0].dtype), tensors[0].device
            scalars = [
                (x if x.ndim else x.to(dtype)) if isinstance(x, Tensor) else as_tensor(i, float(x), dtype, device)
                for i, x in enumerate(numbers)
            ]
            compiled_call(rule, tensors, scalars)(*tensors, *scalars)

    def warm_up(self) -> None:
        """Compile the rules before the first step, on throwaway tensors.

        Without a working compiler the engine becomes eager; `engine` and a notice say so. Raises errors of memory."""
        if self.engine != "compiled":
            return
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's own; as errors they would pass for a broken tool chain
                for theta, group, t in self._compile_cases():
                    self._try_out(theta, group, t)
        except Exception as error:  # whatever a broken tool chain raises; the eager rule needs none
            if is_out_of_memory(error):
                raise
            self.engine = "eager"
            why = f"{type(error).__name__}: {first_line(error)}"
            say_once(f"{type(self).__name__}: its rule cannot be compiled here, so it runs eagerly, slower ({why})")
        finally:
            self._views.clear()  # they belong to the throwaway tensors

    def _compile_cases(self) -> Iterator[tuple[Tensor, ParamGroup, int]]:
        """Yield one parameter for each compilation: by rule (the first step may differ), dtype, device, and rank."""
        seen = set()
        for group in self.param_groups:
            for theta, t in itertools.product(group["params"], (1, 2)):
                rule, rank = self._stored_rule(theta, group, t), theta.ndim if self.shaped else 0
                key = (rule, theta.dtype, theta.device, rank)
                if key not in seen and not is_bucketed(rule):
                    seen.add(key)
                    yield theta, group, t

    def _try_out(self, theta: Tensor, group: ParamGroup, t: int) -> None:
        for length in EXAMPLE_LENGTHS.get(theta.device.type, EXAMPLE_LENGTHS["cpu"]):
            side = round(length ** (1 / max(1, theta.ndim)))
            sides = range(side, side + theta.ndim) if self.shaped else (length,)
            blank = torch.zeros(tuple(sides), dtype=theta.dtype, device=theta.device).requires_grad_()
            blank.grad = torch.zeros_like(blank)
            active = [Active(blank, group, {"step": t, **self._stored_state(blank, group)})]
            if type(self).summing:
                self.add_up(active)
            self._run_joined(active)


@functools.lru_cache(maxsize=256)  # a schedule brings new numbers in every step
def as_tensor(place: int, number: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a hyperparameter as a 0-d tensor, made on its device.

    One tensor per place among the arguments: the compiler guards that two arguments are not one tensor."""
    return torch.full((), number, dtype=dtype, device=device)


def number_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype for the hyperparameters of a tensor: in bf16, 1 - lr * weight_decay would be 1.

    A 0-d tensor does not change the dtype of a result that has dimensions."""
    return dtype if dtype == torch.float64 else torch.float32


def tensors_of(state: State) -> list[Tensor]:
    """Return the state tensors in the rule's order."""
    return [value for name, value in state.items() if name != "step"]
