"""Checks of gradients that are missing, zero, nan or transposed in memory, and that `step` only reads them."""

from __future__ import annotations

import numpy as np
import torch

from optbench.checks.behaviour import SHAPE, matrices, new_curvature
from optbench.checks.gradient_feeds import feed_type, step
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.subject import Subject
from optbench.counter_rng import seed_torch
from optbench.optimizers.core.state_bytes import tensors_in

LAYOUT_TOLERANCE = 1e-9  # of the distance from the start: sums may run in another order
OWN_GRADIENTS = not_applicable("its gradients come from a closure or layers")


def missing_gradient(subject: Subject) -> Observation:
    """Check that a parameter without a gradient, or frozen half-way, stays, and that the others still move."""
    if not feed_type(subject).SETS_GRADIENTS:
        return OWN_GRADIENTS
    frozen, moving = matrices(2)
    optimizer = subject.with_settings(weight_decay=0.1).build([frozen, moving], curvature=new_curvature())
    for number in range(14):
        rests = number >= 8
        frozen.requires_grad_(not rests)
        frozen.grad = None if rests else torch.ones_like(frozen)
        moving.grad = torch.ones_like(moving)
        before = frozen.detach().clone(), moving.detach().clone()
        step(optimizer)
        if rests and not torch.equal(frozen, before[0]):
            return differs("a parameter without a gradient moves")
        if rests and torch.equal(moving, before[1]):
            return differs("the other parameters stop moving too")
    return passes("frozen parameters stay, the others move")


def zero_gradient(subject: Subject) -> Observation:
    """Check that zero gradients, first or later, never give nan or infinite parameters."""
    feed = feed_type(subject)(subject, SHAPE)
    for size in (0.0, 1.0, 0.0):
        feed.scale = size
        for _ in range(3):
            feed.advance(np.zeros(SHAPE) if size == 0 and feed.SETS_GRADIENTS else None)
            if not np.isfinite(feed.values()).all():
                return differs("parameters are not finite after zero gradients")
    return passes("finite")


def nan_gradient(subject: Subject) -> Observation:
    """Check that a nan gradient shows in the parameters (hence in the loss) or raises, and never hides in the state."""
    if not feed_type(subject).SETS_GRADIENTS:
        return OWN_GRADIENTS
    feed = feed_type(subject)(subject, SHAPE)
    for _ in range(12):
        feed.advance()
    broken = np.ones(SHAPE)
    broken[0, 0] = np.nan
    try:
        feed.advance(broken)
    except Exception as error:
        return passes(f"refused: {type(error).__name__}")
    if not np.isfinite(feed.values()).all():
        return passes("shows: the parameters become nan, and the loss with them")
    state = [t for t in tensors_in(vars(feed.optimizer), set()) if t.is_floating_point()]
    hidden = any(not t.isfinite().all() for t in state if t is not feed.theta and t is not feed.theta.grad)
    return differs("the state becomes nan, the parameters do not") if hidden else passes("the step is skipped")


def gradients(subject: Subject) -> Observation:
    """Check that `step` reads gradients and does not write them, with and without weight decay."""
    if not feed_type(subject).SETS_GRADIENTS:
        return OWN_GRADIENTS
    for decay in (0.0, 0.1):
        feed = feed_type(subject)(subject.with_settings(weight_decay=decay), SHAPE)
        for _ in range(12):
            given = feed.next_gradient()
            feed.advance(given)
            if feed.theta.grad is None:
                return differs("step() clears the gradient")
            if not np.array_equal(feed.theta.grad.double().numpy(), given):
                return differs(f"step() changes the gradient (weight decay {decay:g})")
    return passes("unchanged by step()")


def memory_layout(subject: Subject) -> Observation:
    """Check that a gradient stored in another order than its parameter gives the same step."""
    if not feed_type(subject).SETS_GRADIENTS:
        return OWN_GRADIENTS
    feed, other = (feed_type(subject)(subject, SHAPE) for _ in range(2))
    for number in range(1, 13):
        gradient = feed.next_gradient()
        other.next_gradient()  # both draw the same random numbers for probes
        seed_torch(number)
        feed.advance(gradient)
        seed_torch(number)
        other.theta.grad = torch.tensor(gradient.T.copy()).T
        step(other.optimizer)
        reach = np.abs(feed.values() - feed.start).max() or 1.0
        if not np.abs(feed.values() - other.values()).max() <= LAYOUT_TOLERANCE * reach:
            return differs(f"step {number} changes when the gradient is transposed in memory")
    return passes("independent of the gradient's layout in memory")
