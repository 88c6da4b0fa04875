"""Checks that our engines run the same rule, and that only a new rule compiles again."""

from __future__ import annotations

import numpy as np
import torch

from optbench.checks.gradient_feeds import feed_type
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.subject import Subject
from optbench.counter_rng import seed_torch
from optbench.optimizers.core.choose_engine import has_compiler

STEPS = 12
TOLERANCE = 1e-9  # of the farthest distance from the start, in float64
NEW_SHAPES = ((9,), (6, 5), (3, 2, 5))


def engines(subject: Subject) -> Observation:
    """Check that the compiled rule moves tensors of every rank as the eager rule does."""
    if reason := why_no_engines(subject):
        return not_applicable(reason)
    worst = 0.0
    for shape in feed_type(subject).SHAPES:
        eager, compiled = (
            feed_type(subject)(subject.with_settings(engine=engine, weight_decay=0.1), shape)
            for engine in ("eager", "compiled")
        )
        for step in range(1, STEPS + 1):
            for feed in (eager, compiled):
                seed_torch(step)  # for probes
                feed.advance()
            reach = np.abs(eager.values() - eager.start).max() or 1.0
            distance = float(np.abs(eager.values() - compiled.values()).max() / reach)
            worst = max(worst, distance)
            if not distance <= TOLERANCE:
                return differs(f"compiled differs from eager at step {step}, shape {shape}, by {distance:.2g}")
    return passes(f"compiled equals eager to {worst:.1e}")


def recompiles(subject: Subject) -> Observation:
    """Check that after the first steps neither a schedule nor a new shape of a known rank compiles again."""
    from torch._dynamo.utils import counters

    if reason := why_no_engines(subject):
        return not_applicable(reason)
    subject = subject.with_settings(engine="compiled", weight_decay=0.1)
    shapes = feed_type(subject).SHAPES
    engines = [run_schedule(subject, shape) for shape in shapes]
    if set(engines) != {"compiled"}:
        return differs("the rule cannot be compiled: it runs eagerly")
    before = counters["stats"]["unique_graphs"]
    for shape in NEW_SHAPES if len(shapes) > 2 else ((6, 5),):
        run_schedule(subject, shape)
    added = counters["stats"]["unique_graphs"] - before
    if added:
        return differs(f"a schedule over new shapes compiles {added} more graphs")
    return passes("a schedule over new shapes compiles nothing more")


def run_schedule(subject: Subject, shape: tuple[int, ...]) -> str:
    """Take a few steps with a new learning rate in each; return the engine that took them."""
    feed = feed_type(subject)(subject, shape)
    feed.optimizer.warm_up()
    for step in range(4):
        for group in feed.optimizer.param_groups:
            group["lr"] = group["lr"] * (0.9 + 0.01 * step)
        feed.advance()
    return feed.optimizer.engine


def why_no_engines(subject: Subject) -> str:
    """Return why the engines cannot be compared, or ""."""
    if "engine" not in subject.all_settings or "engine" in subject.implementation.get("drops", ()):
        return "it has one engine"
    return "" if has_compiler(torch.device("cpu")) else "no compiler here"
