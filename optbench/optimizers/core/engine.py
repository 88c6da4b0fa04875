"""The engine that runs an update rule written once, for one tensor.

An algorithm of ours is a function `rule(theta, gradient, *state, *hyperparameters)` that changes theta and its state in
place. The engine calls it for every parameter, either as it stands ("eager") or through `torch.compile` ("compiled").
Compiled, it sees every tensor as one dimension of any length (unless the rule is `shaped`) and every hyperparameter as
a 0-d tensor, so that neither a schedule nor a new shape compiles again. Where the rule is `elementwise`, small tensors
of equal hyperparameters are copied into one and back, for a call costs more than their arithmetic. Compiling pays from
about a million parameters on.

What a rule needs besides is said by methods: `new_state` (zeros unless said otherwise), `hyperparameters` of the step,
`rule_of` (where tensors of one optimizer follow different rules) and `before_step` (what concerns all tensors at once).
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import operator
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optbench.optimizers.core.compiled_call import direct

COMPILED_FROM_PARAMETERS = 1_000_000  # below, the calls cost more than the arithmetic, and compiling takes seconds

# Elements below which a tensor is gathered with others, and of one gathering at most. On CPU (measured): a call costs
# 20 us, and copying 16 Ki elements of all tensors there and back as much. On CUDA (reckoned, 3 TB/s): 1 Mi.
GATHERED_BELOW = {"cpu": 1 << 14, "cuda": 1 << 20}
GATHERED_AT_MOST = {"cpu": 1 << 20, "cuda": 1 << 24}

Rule = Callable[..., None]


class Active(NamedTuple):
    """A parameter that has a gradient in this step, with its group and its state."""

    theta: Tensor
    group: dict[str, Any]
    state: dict[str, Any]


def elementwise(rule: Rule) -> Rule:
    """Declares that a rule treats every element by itself, so that tensors may be joined for it."""
    rule.elementwise = True  # type: ignore[attr-defined]
    return rule


def mixed(a: Tensor, b: Tensor, weight: float | Tensor) -> Tensor:
    """a + weight (b - a). torch's lerp is one pass where it runs eagerly, but compiled it asks in every element whether
    the weight is above a half: a tenth of a step of AdamW."""
    return a + (b - a) * weight if torch.compiler.is_compiling() else a.lerp(b, weight)


def mix(a: Tensor, b: Tensor, weight: float | Tensor) -> None:
    """The same, written into a: a moving average takes in a new value."""
    if torch.compiler.is_compiling():
        a.add_((b - a) * weight)
    else:
        a.lerp_(b, weight)


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
        self._views: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_views": {}}  # torch's own keeps groups and state alone: a copy would lack its engine

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
        if self.engine == "compiled":
            self._run_compiled(active)
        else:
            for theta, group, state in active:
                rule = self.rule_of(theta, group, state["step"])
                rule(theta.detach(), theta.grad, *tensors_of(state), *self.hyperparameters(group, state["step"]))
        return loss

    def _active(self) -> Iterator[Active]:
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is None or not theta.numel():
                    continue
                state = self.state[theta]
                if not state:
                    state.update(step=0, **self.new_state(theta, group))
                state["step"] += 1
                yield Active(theta, group, state)

    # -- compiled ----------------------------------------------------------------------------------------------------

    def _run_compiled(self, active: list[Active]) -> None:
        """The rules through the compiler: large tensors one by one, small ones gathered by what they share."""
        numbers: dict[tuple[int, int], tuple[float, ...]] = {}
        small: dict[Any, list[list[Tensor]]] = {}
        for theta, group, state in active:
            t = state["step"]
            rule = self.rule_of(theta, group, t)
            if (id(group), t) not in numbers:
                numbers[id(group), t] = self.hyperparameters(group, t)
            tensors = [theta, theta.grad, *tensors_of(state)]
            flat = None if self.shaped else self._one_dimension(tensors)
            few = theta.numel() < GATHERED_BELOW.get(theta.device.type, 0)
            if flat and few and getattr(rule, "elementwise", False):
                kind = (rule, numbers[id(group), t], theta.device, *(tensor.dtype for tensor in flat))
                small.setdefault(kind, []).append(flat)
            elif flat or self.shaped:
                self._call(rule, flat or [tensor.data for tensor in tensors], numbers[id(group), t])
            else:
                self._call_on_copies(rule, tensors, numbers[id(group), t])
        for (rule, values, device, *_), rows in small.items():
            for some in portions(rows, GATHERED_AT_MOST[device.type]):
                self._call_gathered(rule, some, values)
        torch.autograd.graph.increment_version([theta for theta, _, _ in active])  # as a change in place does

    def _one_dimension(self, tensors: list[Tensor]) -> list[Tensor] | None:
        """`as_one_dimension`, known from the last step but for the gradient."""
        theta, g, *state = tensors
        own, flat = self._views.get(id(theta), ((), ()))
        same = own and theta.data_ptr() == flat[0].data_ptr() and all(map(operator.is_, own, (theta, *state)))
        if same and g.is_contiguous():
            return [flat[0], g.view(-1).data, *flat[1:]]
        found = as_one_dimension(tensors)
        if found and theta.is_contiguous():
            self._views[id(theta)] = ((theta, *state), (found[0], *found[2:]))
        return found

    def _call_gathered(self, rule: Rule, rows: list[list[Tensor]], numbers: tuple[float, ...]) -> None:
        """Several parameters of one dimension, joined and parted again; the gradients are only read."""
        columns = list(zip(*rows, strict=True))
        joined = [torch.cat(column) for column in columns]
        self._call(rule, joined, numbers)
        lengths = [tensor.numel() for tensor in columns[0]]
        for place in (0, *range(2, len(columns))):
            torch._foreach_copy_(columns[place], joined[place].split(lengths))

    def _call_on_copies(self, rule: Rule, tensors: list[Tensor], numbers: tuple[float, ...]) -> None:
        """A parameter that does not lie in memory as its gradient or state does."""
        copies = [tensor.contiguous().view(-1).data for tensor in tensors]
        self._call(rule, copies, numbers)
        for tensor, copy in zip(tensors[:1] + tensors[2:], copies[:1] + copies[2:], strict=True):
            tensor.copy_(copy.view(tensor.shape))

    def _call(self, rule: Rule, tensors: list[Tensor], numbers: tuple[float, ...]) -> None:
        if tensors[0].numel() < 2 and not self.shaped:  # the compiler makes other code for lengths 0 and 1
            rule(*tensors, *numbers)
        else:
            dtype, device = precise(tensors[0].dtype), tensors[0].device
            scalars = [as_tensor(i, float(x), dtype, device) for i, x in enumerate(numbers)]
            code_of(rule, tensors, scalars)(*tensors, *scalars)

    def warm_up(self) -> None:
        """Compile the rules before the first step, on tensors of no consequence. Without a working compiler the
        engine becomes eager, and says so in `engine`."""
        if self.engine != "compiled":
            return
        try:
            with torch.no_grad():
                for theta, group, t in self._patterns():
                    self._try_out(theta, group, t)
        except Exception:  # whatever a broken tool chain raises; the eager rule needs none
            self.engine = "eager"
        finally:
            self._views.clear()  # of those tensors

    def _patterns(self) -> Iterator[tuple[Tensor, dict[str, Any], int]]:
        """One parameter of every kind that is compiled apart: by rule (the first step may have its own), dtype, device
        and, where shaped, rank."""
        seen = set()
        for group in self.param_groups:
            for theta, t in itertools.product(group["params"], (1, 2)):
                rank = theta.ndim if self.shaped else 0
                key = (self.rule_of(theta, group, t), theta.dtype, theta.device, rank)
                if key not in seen:
                    seen.add(key)
                    yield theta, group, t

    def _try_out(self, theta: Tensor, group: dict[str, Any], t: int) -> None:
        for length in (3, 5) if self.shaped else (700, 7000):  # there is other code for sums of more than 4096
            sides = range(length, length + theta.ndim) if self.shaped else (length,)
            blank = torch.zeros(tuple(sides), dtype=theta.dtype, device=theta.device).requires_grad_()
            blank.grad = torch.zeros_like(blank)
            self._run_compiled([Active(blank, group, {"step": t, **self.new_state(blank, group)})])


def code_of(rule: Rule, tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> Rule:
    """The compiled rule for arguments of these types, without the compiler's checks where it can do without."""
    plain = direct(rule, tensors, numbers) if getattr(rule, "elementwise", False) else None
    return plain or compiled(rule)


@functools.cache
def compiled(rule: Rule) -> Rule:
    """The rule compiled for tensors of any length. The number of threads is asked for at run time: else the compiler
    would fix it by the length that it sees first, one thread for a short one."""
    options = {"cpp.dynamic_threads": True, "guard_filter_fn": guards_of_tensors}
    return torch.compile(rule, dynamic=True, fullgraph=True, options=options)


@functools.lru_cache(maxsize=256)  # a schedule brings new numbers in every step
def as_tensor(place: int, number: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A hyperparameter as a 0-d tensor, made on its device. One for each place among the arguments: the compiler
    guards that two of them are not one tensor."""
    return torch.full((), number, dtype=dtype, device=device)


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type of the hyperparameters of a tensor: 1 - lr * weight_decay would be 1 in bf16. A 0-d tensor changes the
    type of no result that has dimensions."""
    return dtype if dtype == torch.float64 else torch.float32


def guards_of_tensors(guards: Sequence[Any]) -> list[bool]:
    """Which guards the compiler is to keep: those of the tensors. A rule depends on nothing else, and a call whose
    data the caches do not hold pays for each."""
    return [guard.guard_type in ("TENSOR_MATCH", "SHAPE_ENV") for guard in guards]


def tensors_of(state: dict[str, Any]) -> list[Tensor]:
    """The state tensors in the rule's order."""
    return [value for name, value in state.items() if name != "step"]


def as_one_dimension(tensors: list[Tensor]) -> list[Tensor] | None:
    """Tensors of one dimension over the memory of equally laid out ones (channels_last, say); None for others. They
    are no views to autograd: of a view, the compiler guards the shape of what it is a view of."""
    if not all(tensor.is_contiguous() for tensor in tensors):
        strides = tensors[0].stride()
        order = sorted(range(len(strides)), key=lambda dim: -strides[dim])
        tensors = [tensor.permute(order) for tensor in tensors]
        if not all(tensor.is_contiguous() for tensor in tensors):
            return None
    return [tensor.data if tensor.ndim == 1 else tensor.view(-1).data for tensor in tensors]


def portions(rows: list[list[Tensor]], elements: int) -> Iterator[list[list[Tensor]]]:
    """The rows in their order, in lists of not many more than so many elements."""
    some: list[list[Tensor]] = []
    count = 0
    for row in rows:
        some.append(row)
        count += row[0].numel()
        if count >= elements:
            yield some
            some, count = [], 0
    if some:
        yield some


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
