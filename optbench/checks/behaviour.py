"""Checks of state dicts, parameter groups, low precision and closures."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor

from optbench.checks.gradient_feeds import GradientFeed, feed_type, step
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.scripted_curvature import ScriptedCurvature
from optbench.checks.subject import Subject
from optbench.counter_rng import seed_torch
from optbench.optimizers.core.interface import takes_closure
from optbench.optimizers.core.state_bytes import tensors_in

SHAPE = (5, 6)


def state_dict(subject: Subject) -> Observation:
    """Check that training continues bit for bit from a state dict loaded with `weights_only`."""
    kind = feed_type(subject)
    feed, resumed = (kind(subject, SHAPE, torch.float32) for _ in range(2))
    for _ in range(7):  # not a multiple of a synchronisation or update interval
        feed.advance()
    buffer = io.BytesIO()
    torch.save([feed.optimizer.state_dict(), [p.detach() for p in parameters(feed)]], buffer)
    buffer.seek(0)
    try:
        state, values = torch.load(buffer, weights_only=True)
    except Exception as error:
        return differs(f"cannot be loaded with weights_only: {type(error).__name__}")
    with torch.no_grad():
        for theta, saved in zip(parameters(resumed), values, strict=True):
            theta.copy_(saved)
    resumed.optimizer.load_state_dict(state)
    resumed.t, resumed.random = feed.t, np.random.default_rng(1)
    feed.random = np.random.default_rng(1)
    for number in range(1, 14):
        for one in (feed, resumed):
            seed_torch(number)
            one.advance()
        if not np.array_equal(feed.values(), resumed.values(), equal_nan=True):
            distance = np.abs(feed.values() - resumed.values()).max()
            return differs(f"step {number} after loading differs by {distance:.2g}")
    return passes("13 steps after loading are bit-identical")


def groups(subject: Subject) -> Observation:
    """Check that a group with a learning rate of zero rests while another moves."""
    if "single_group" in subject.needs or not feed_type(subject).SETS_GRADIENTS:
        return not_applicable("it takes one group only, or its gradients come from a closure or layers")
    (moving,), (resting,) = matrices(1), matrices(1)
    plain = subject.without_modifiers().with_settings(weight_decay=0.0)
    optimizer = plain.build([moving], curvature=new_curvature())
    optimizer.add_param_group({"params": [resting], "lr": 0.0})
    before = resting.detach().clone(), moving.detach().clone()
    for number in range(12):  # some rules do not move, or move differently, in their first steps
        for theta in (resting, moving):
            theta.grad = torch.full_like(theta, 0.5 + number)
        step(optimizer)
    if not torch.equal(resting, before[0]):
        return differs("a group with lr 0 moves")
    if torch.equal(moving, before[1]):
        return differs("a group rests because another has lr 0")
    return passes("each group follows its own learning rate")


def low_precision(subject: Subject) -> Observation:
    """Check that bf16 parameters keep their type, stay finite and move."""
    kind = feed_type(subject)
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


def closure(subject: Subject) -> Observation:
    """Check that the closure is called once, unless declared otherwise, and that its loss is returned."""
    feed = feed_type(subject)(subject, SHAPE)
    if not takes_closure(feed.optimizer):
        return not_applicable("step() takes no closure")
    if "closure" in subject.needs:
        return not_applicable("declared: it evaluates more than once")
    if not feed.SETS_GRADIENTS:
        return not_applicable("its step needs more than a closure")
    calls: list[int] = []

    def evaluate() -> Tensor:
        calls.append(1)
        feed.set_gradient(np.ones(SHAPE))
        return torch.tensor(3.0)

    loss = feed.optimizer.step(evaluate)
    if len(calls) != 1:
        return differs(f"calls the closure {len(calls)} times without declaring it")
    if loss is None or float(loss) != 3.0:
        return differs(f"returns {loss} instead of the closure's loss")
    return passes("called once, its loss returned")


def matrices(count: int) -> list[Tensor]:
    """Return random matrices that require gradients."""
    random = np.random.default_rng(3)
    return [torch.tensor(random.standard_normal(SHAPE)).requires_grad_() for _ in range(count)]


def new_curvature() -> ScriptedCurvature:
    """Return curvature for optimizers that ask for it."""
    return ScriptedCurvature(np.random.default_rng(4))


def parameters(feed: GradientFeed) -> list[Tensor]:
    """Return the parameters of a feed's optimizer."""
    return [theta for group in feed.optimizer.param_groups for theta in group["params"]]


def state_tensors(feed: GradientFeed) -> list[Tensor]:
    """Return the optimizer's state tensors, without parameters, gradients and counters."""
    own = {id(t) for p in parameters(feed) for t in (p, p.grad)}
    return [t for t in tensors_in(vars(feed.optimizer), set()) if id(t) not in own and t.ndim > 0]
