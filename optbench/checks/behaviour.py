"""How an optimizer treats what it is given: state, groups, gradients that are missing, zero or nan, low precision."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optbench.checks.gradient_feeds import GradientFeed, Oracle, feed_of
from optbench.checks.result import differs, not_applicable, passes
from optbench.checks.subject import Subject
from optbench.optimizers.core.build import requires_closure, takes_closure
from optbench.optimizers.core.state_bytes import tensors_in

SHAPE = (5, 6)
LAYOUT_TOLERANCE = 1e-9  # of the distance from the start: sums may run in another order
Outcome = tuple[str, str]


def state_dict(subject: Subject) -> Outcome:
    """A state dict saved and loaded with `weights_only` goes on bit for bit."""
    kind = feed_of(subject)
    feed, resumed = (kind(subject, SHAPE, torch.float32) for _ in range(2))
    for _ in range(7):  # not on a synchronisation, and not on an interval
        feed.advance()
    buffer = io.BytesIO()
    torch.save([feed.optimizer.state_dict(), [p.detach() for p in tensors_of(feed)]], buffer)
    buffer.seek(0)
    try:
        state, values = torch.load(buffer, weights_only=True)
    except Exception as error:
        return differs(f"cannot be loaded with weights_only: {type(error).__name__}")
    with torch.no_grad():
        for theta, kept in zip(tensors_of(resumed), values, strict=True):
            theta.copy_(kept)
    resumed.optimizer.load_state_dict(state)
    resumed.t, resumed.random = feed.t, np.random.default_rng(1)
    feed.random = np.random.default_rng(1)
    for step in range(1, 14):
        for one in (feed, resumed):
            torch.manual_seed(step)
            one.advance()
        if not np.array_equal(feed.values(), resumed.values(), equal_nan=True):
            apart = np.abs(feed.values() - resumed.values()).max()
            return differs(f"step {step} after loading differs by {apart:.2g}")
    return passes("13 steps after loading are bit-identical")


def groups(subject: Subject) -> Outcome:
    """A group with a learning rate of zero rests while another moves."""
    if "single_group" in subject.needs or not feed_of(subject).DIRECT:
        return not_applicable("it takes one group, or no plain gradients")
    (moving,), (resting,) = tensors(1), tensors(1)
    optimizer = subject.without_modifiers().having(weight_decay=0.0).build([moving], curvature=oracle())
    optimizer.add_param_group({"params": [resting], "lr": 0.0})
    before = resting.detach().clone(), moving.detach().clone()
    for step in range(12):  # some rules take their first steps as another, or none
        for theta in (resting, moving):
            theta.grad = torch.full_like(theta, 0.5 + step)
        optimizer.step(*closure_if_required(optimizer))
    if not torch.equal(resting, before[0]):
        return differs("a group with lr 0 moves")
    if torch.equal(moving, before[1]):
        return differs("a group rests because another has lr 0")
    return passes("each group follows its own learning rate")


def missing_gradient(subject: Subject) -> Outcome:
    """A parameter without a gradient, or frozen half-way, stays; the others go on."""
    if not feed_of(subject).DIRECT:
        return not_applicable("its gradients come from a closure or layers")
    frozen, moving = tensors(2)
    optimizer = subject.having(weight_decay=0.1).build([frozen, moving], curvature=oracle())
    for step in range(14):
        rests = step >= 8
        frozen.requires_grad_(not rests)
        frozen.grad = None if rests else torch.ones_like(frozen)
        moving.grad = torch.ones_like(moving)
        before = frozen.detach().clone(), moving.detach().clone()
        optimizer.step(*closure_if_required(optimizer))
        if rests and not torch.equal(frozen, before[0]):
            return differs("a parameter without gradient moves")
        if rests and torch.equal(moving, before[1]):
            return differs("the others rest too")
    return passes("frozen parameters stay, the others go on")


def zero_gradient(subject: Subject) -> Outcome:
    """From zero gradients nothing becomes nan, neither at first nor later."""
    feed = feed_of(subject)(subject, SHAPE)
    for size in (0.0, 1.0, 0.0):
        feed.scale = size
        for _ in range(3):
            feed.advance(np.zeros(SHAPE) if size == 0 and feed.DIRECT else None)
            if not np.isfinite(feed.values()).all():
                return differs("parameters are not finite after zero gradients")
    return passes("finite")


def nan_gradient(subject: Subject) -> Outcome:
    """A nan must show: in the parameters (the loss follows) or by an error, never in the state alone."""
    if not feed_of(subject).DIRECT:
        return not_applicable("its gradients come from a closure or layers")
    feed = feed_of(subject)(subject, SHAPE)
    for _ in range(12):
        feed.advance()
    broken = np.ones(SHAPE)
    broken[0, 0] = np.nan
    try:
        feed.advance(broken)
    except Exception as error:
        return passes(f"refused: {type(error).__name__}")
    shown = not np.isfinite(feed.values()).all()
    state = [t for t in tensors_in(vars(feed.optimizer), set()) if t.is_floating_point()]
    poisoned = any(not t.isfinite().all() for t in state if t is not feed.theta and t is not feed.theta.grad)
    if shown:
        return passes("shows: the parameters become nan, and the loss with them")
    return differs("the state is nan, the parameters are not") if poisoned else passes("the step is left out")


def low_precision(subject: Subject) -> Outcome:
    """bf16 parameters keep their type, stay finite and move."""
    kind = feed_of(subject)
    try:
        feed = kind(subject, SHAPE, torch.bfloat16)
        before = feed.values()
        for _ in range(20):
            feed.advance()
    except Exception as error:
        return differs(f"refuses bf16: {type(error).__name__}: {str(error).splitlines()[0][:80]}")
    if feed.theta.dtype != torch.bfloat16 or not np.isfinite(feed.values()).all():
        return differs("bf16 parameters do not stay finite")
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in state_tensors(feed)})
    detail = f"state in {', '.join(dtypes)}" if dtypes else "no state"
    moved = not np.array_equal(before, feed.values())
    return passes(detail) if moved else passes(f"{detail}; steps are too small to move a bf16 parameter")


def closure(subject: Subject) -> Outcome:
    """A closure's loss is returned, and it is called once unless more is declared."""
    feed = feed_of(subject)(subject, SHAPE)
    if not takes_closure(feed.optimizer):
        return not_applicable("step() takes no closure")
    if "closure" in subject.needs:
        return not_applicable("declared: it evaluates more than once")
    if not feed.DIRECT:
        return not_applicable("its step needs more than a closure")
    calls: list[int] = []

    def evaluate() -> Tensor:
        calls.append(1)
        feed.give(np.ones(SHAPE))
        return torch.tensor(3.0)

    loss = feed.optimizer.step(evaluate)
    if len(calls) != 1:
        return differs(f"calls the closure {len(calls)} times without declaring it")
    if loss is None or float(loss) != 3.0:
        return differs(f"returns {loss} instead of the closure's loss")
    return passes("called once, its loss returned")


def gradients(subject: Subject) -> Outcome:
    """Gradients are read, not written, with weight decay and without."""
    if not feed_of(subject).DIRECT:
        return not_applicable("its gradients come from a closure or layers")
    for decay in (0.0, 0.1):
        feed = feed_of(subject)(subject.having(weight_decay=decay), SHAPE)
        for _ in range(12):
            given = feed.gradient()
            feed.advance(given)
            if feed.theta.grad is None:
                return differs("step() clears the gradient")
            if not np.array_equal(feed.theta.grad.double().numpy(), given):
                return differs(f"step() changes the gradient (weight decay {decay:g})")
    return passes("left as they were")


def memory_layout(subject: Subject) -> Outcome:
    """A gradient that lies in memory in another order than its parameter gives the same step."""
    if not feed_of(subject).DIRECT:
        return not_applicable("its gradients come from a closure or layers")
    feed, other = (feed_of(subject)(subject, SHAPE) for _ in range(2))
    for step in range(1, 13):
        gradient = feed.gradient()
        other.gradient()  # both draw the same numbers for probes
        torch.manual_seed(step)
        feed.advance(gradient)
        torch.manual_seed(step)
        other.theta.grad = torch.tensor(gradient.T.copy()).T
        other.optimizer.step(*closure_if_required(other.optimizer))
        reach = np.abs(feed.values() - feed.start).max() or 1.0
        if not np.abs(feed.values() - other.values()).max() <= LAYOUT_TOLERANCE * reach:
            return differs(f"step {step} is another where the gradient is transposed in memory")
    return passes("read by index, not by place in memory")


def tensors(count: int) -> list[Tensor]:
    """Matrices with values of their own."""
    random = np.random.default_rng(3)
    return [torch.tensor(random.standard_normal(SHAPE)).requires_grad_() for _ in range(count)]


def tensors_of(feed: GradientFeed) -> list[Tensor]:
    """The parameters of a feed's optimizer."""
    return [theta for group in feed.optimizer.param_groups for theta in group["params"]]


def state_tensors(feed: GradientFeed) -> list[Tensor]:
    """What the optimizer keeps, without parameters, gradients and counters."""
    own = {id(t) for p in tensors_of(feed) for t in (p, p.grad)}
    return [t for t in tensors_in(vars(feed.optimizer), set()) if id(t) not in own and t.ndim > 0]


def oracle() -> Oracle:
    """Curvature for optimizers that ask for it."""
    return Oracle(np.random.default_rng(4))


def closure_if_required(optimizer: Any) -> list[Any]:
    """The arguments of `step` where the gradients are there already."""
    return [lambda: torch.zeros(())] if requires_closure(optimizer) else []
