"""Do our engines run the same rule, and does nothing but a new rule compile anew?"""

from __future__ import annotations

import numpy as np
import torch

from optbench.checks.gradient_feeds import feed_of
from optbench.checks.result import differs, not_applicable, passes
from optbench.checks.subject import Subject
from optbench.optimizers.core.engine import has_compiler

STEPS = 12
TOLERANCE = 1e-9  # of the farthest distance from the start, in float64
NEW_SHAPES = ((9,), (6, 5), (3, 2, 5))
Outcome = tuple[str, str]


def engines(subject: Subject) -> Outcome:
    """The compiled rule moves every rank as the eager one does."""
    reason = no_engines(subject)
    if reason:
        return not_applicable(reason)
    worst = 0.0
    for shape in feed_of(subject).SHAPES:
        eager, compiled = (
            feed_of(subject)(subject.having(engine=engine, weight_decay=0.1), shape) for engine in ("eager", "compiled")
        )
        for step in range(1, STEPS + 1):
            for feed in (eager, compiled):
                torch.manual_seed(step)  # of probes
                feed.advance()
            reach = np.abs(eager.values() - eager.start).max() or 1.0
            apart = float(np.abs(eager.values() - compiled.values()).max() / reach)
            worst = max(worst, apart)
            if not apart <= TOLERANCE:
                return differs(f"compiled differs from eager at step {step}, shape {shape}, by {apart:.2g}")
    return passes(f"compiled equals eager to {worst:.1e}")


def recompiles(subject: Subject) -> Outcome:
    """After the first steps neither a schedule nor a new shape of a known rank compiles again."""
    from torch._dynamo.utils import counters

    reason = no_engines(subject)
    if reason:
        return not_applicable(reason)
    subject = subject.having(engine="compiled", weight_decay=0.1)
    shapes = feed_of(subject).SHAPES
    for shape in shapes:
        walk(subject, shape)
    before = counters["stats"]["unique_graphs"]
    for shape in NEW_SHAPES if len(shapes) > 2 else ((6, 5),):
        walk(subject, shape)
    more = counters["stats"]["unique_graphs"] - before
    if more:
        return differs(f"a schedule over new shapes compiles {more} more")
    return passes("a schedule over new shapes compiles nothing more")


def walk(subject: Subject, shape: tuple[int, ...]) -> None:
    """A few steps at a learning rate that changes in each."""
    feed = feed_of(subject)(subject, shape)
    feed.optimizer.warm_up()
    for step in range(4):
        for group in feed.optimizer.param_groups:
            group["lr"] = group["lr"] * (0.9 + 0.01 * step)
        feed.advance()


def no_engines(subject: Subject) -> str:
    """Why there is nothing to compare, or ""."""
    if "engine" not in subject.all_settings or "engine" in subject.implementation.get("drops", ()):
        return "it has one engine"
    return "" if has_compiler(torch.device("cpu")) else "no compiler here"
