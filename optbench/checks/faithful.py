"""Checks that an implementation is the paper's rule: its steps against those of `papers/NAME.py`."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from optbench.checks.deviation import Case, Deviation, deviation
from optbench.checks.gradient_feeds import GradientFeed, feed_type
from optbench.checks.paper_rules import absent_hyperparameters, default_settings, hyperparameters, paper_rule
from optbench.checks.papers import Array, Rule
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.subject import OWN_SCHEDULE, Facts, Subject
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.optimizers.core.shipped import SHIPPED_SETTINGS, pinned_differences
from optbench.training.schedules import Factor, cosine

STEPS = 200
SCHEDULED_STEPS = 100
SHIPPED_STEPS = 20  # at a library's defaults: differences show early
DECAYS = (0.0, 0.1)
TOLERANCE = 1e-6  # of the farthest distance from the start; float64 rounding stays below 1e-9
SCHEDULES: Mapping[str, Callable[[int], Factor]] = {
    "warm-up and cosine": lambda steps: cosine(steps=steps, warmup=0.1, floor=0.0),
    "jumps": lambda steps: lambda step: (0.1, 1.0, 0.1)[3 * step // steps],
}
"""Shares of the peak learning rate by name: a function of the number of steps, and of the step."""
SCHEDULED_RANKS = (1, 2)
ENGINE_ARGUMENTS = ("foreach", "fused", "capturable", "differentiable", "triton", "multi_tensor", "compile_step")
"""The libraries' arguments that choose an engine and do not change the rule."""


def faithful(subject: Subject) -> Observation:
    """Check the rule at the file's settings, for tensors of rank 0 to 4, with and without weight decay.

    Vectors and matrices also follow schedules of the learning rate, which show whether it is inside the momentum."""
    return compare(subject.without_modifiers(), subject.all_settings)


def as_shipped(subject: Subject) -> Observation:
    """Compare the library's defaults, except learning rate and weight decay, with the paper."""
    if subject.is_users_own or subject.config.optimizer.target.startswith("optbench.optimizers."):
        return not_applicable("our own or the user's own: no library defaults")
    if paper_rule(subject.against) is None:
        return no_rule(subject)
    shipped = replace(subject.without_modifiers(), shipped=True)
    given = {key: subject.all_settings[key] for key in SHIPPED_SETTINGS if key in subject.all_settings}
    state, detail = compare(shipped, {**default_settings(subject.against), **given})
    return Observation(state, "; ".join(filter(None, [detail, ", ".join(shipped_differences(subject))])))


def shipped_differences(subject: Subject) -> list[str]:
    """Return the library defaults that differ from the pinned ones, and the required values that differ from ours."""
    target = imports.load(subject.config.optimizer.target)
    sentences = pinned_differences(subject.all_settings, subject.implementation, target)
    sentences = [sentence for sentence in sentences if sentence.split()[0] not in ENGINE_ARGUMENTS]
    ours, required = default_settings(subject.against), subject.implementation.get("requires", {})
    return sentences + [f"{k} {v} (the paper's file: {ours[k]})" for k, v in required.items() if ours.get(k, v) != v]


def modifiers(subject: Subject) -> Observation:
    """Check the modifiers around the optimizer against those around the paper's rule, without weight decay."""
    if not subject.config.modifiers:
        return not_applicable("no modifier is on")
    return compare(subject.with_exact_modifiers(), subject.all_settings, decays=(0.0,))


def no_rule(subject: Subject) -> Observation:
    """Return that `papers/` has no rule for this optimizer."""
    return not_applicable(f"no rule in checks/papers for '{subject.against}'")


def compare(subject: Subject, settings: Facts, decays: Sequence[float] = DECAYS) -> Observation:
    """Compare a subject with its paper's rule at these settings."""
    rule = paper_rule(subject.against)
    if rule is None:
        return no_rule(subject)
    found = list(deviations(subject, rule, settings, decays))
    compared = [one for one in found if isinstance(one, Deviation)]
    refused = refusals([one for one in found if not isinstance(one, Deviation)])
    beyond = [one for one in compared if one.first_step is not None]
    absent = absent_hyperparameters(rule, settings)
    notes = [*refused, *([f"{', '.join(absent)} of the paper as in optimizer={subject.against}"] if absent else [])]
    if beyond or not compared:
        share = f"{len(beyond)} of {len(compared)} cases" if 0 < len(beyond) < len(compared) else ""
        return differs("; ".join(filter(None, [*map(str, earliest(beyond)), share, *notes])))
    largest = max(one.largest for one in compared)
    return passes("; ".join([f"{len(compared)} cases equal to {largest:.1e}", *notes]))


def refusals(cases: Sequence[tuple[int, str]]) -> list[str]:
    """Return one sentence per reason, with the ranks of the refused tensors."""
    ranks: dict[str, list[int]] = {}
    for rank, reason in dict.fromkeys(cases):
        ranks.setdefault(reason, []).append(rank)
    return [f"refuses rank {', '.join(map(str, refused))}: {reason}" for reason, refused in ranks.items()]


def earliest(beyond: Sequence[Deviation]) -> list[Deviation]:
    """Return, for each weight decay, the case that differs first; the largest of several.

    The same for each schedule, of the shapes that do not differ at a constant learning rate."""
    constant = {replace(found.case, schedule="") for found in beyond if not found.case.schedule}
    chosen: dict[tuple[str, float], Deviation] = {}
    for found in sorted(beyond, key=lambda found: (found.first_step, -found.largest)):
        case = found.case
        if not case.schedule or replace(case, schedule="") not in constant:
            chosen.setdefault((case.schedule, case.decay), found)
    return sorted(chosen.values(), key=lambda found: bool(found.case.schedule))


def deviations(
    subject: Subject, rule: Rule, settings: Facts, decays: Sequence[float]
) -> Iterator[Deviation | tuple[int, str]]:
    """Yield a Deviation for every case, or (rank, reason) where the subject refuses the shape."""
    for case in cases(subject, decays if "weight_decay" in subject.all_settings else (0.0,)):
        try:
            feed = feed_type(subject)(subject.with_settings(weight_decay=case.decay), case.shape)
        except ConfigError as error:
            yield len(case.shape), str(error.args[0])
            continue
        if not case.schedule or feed.has_rates:
            yield deviation_of(case, feed, subject, rule, {**settings, "weight_decay": case.decay})


def cases(subject: Subject, decays: Sequence[float]) -> Iterator[Case]:
    """Yield every shape with every weight decay, then the schedules with the last decay."""
    shapes = [tuple(shape) for shape in subject.fact("shapes", feed_type(subject).SHAPES)]
    yield from (Case(shape, decay) for shape in shapes for decay in decays)
    if subject.shipped or OWN_SCHEDULE in subject.needs:
        return
    first = {len(shape): shape for shape in reversed(shapes)}
    for name, rank in itertools.product(SCHEDULES, SCHEDULED_RANKS):
        if rank in first:
            yield Case(first[rank], decays[-1], name)


def deviation_of(case: Case, feed: GradientFeed, subject: Subject, rule: Rule, settings: Facts) -> Deviation:
    """Return the deviation of a feed's trajectory from the paper's."""
    steps = SHIPPED_STEPS if subject.shipped else subject.fact("horizon", STEPS)
    factors = None
    if case.schedule:
        steps = min(steps, SCHEDULED_STEPS)
        factors = [SCHEDULES[case.schedule](steps)(step) for step in range(steps)]
    ours = []
    for step in range(steps):
        if factors is not None:
            feed.set_rates(factors[step])
        feed.advance()
        ours.append(feed.values())
    theirs = list(paper_trajectory(rule, feed, settings, subject, factors))
    return deviation(case, feed.start, ours, theirs, subject.fact("tolerance", TOLERANCE))


def paper_trajectory(
    rule: Rule, feed: GradientFeed, settings: Facts, subject: Subject, factors: Sequence[float] | None
) -> Iterator[Array]:
    """Yield the paper's parameters after every step of a feed, with the subject's modifiers.

    `factors`: the schedule's factor of each step; None for constant rates."""
    theta = feed.start.copy()
    steps = rule(theta, iter(feed.paper_steps), **hyperparameters(rule, settings, subject.against, factors))
    gradients = [inputs[0] if isinstance(inputs, tuple) else inputs for inputs in feed.paper_steps]
    for modifier in subject.config.modifiers:
        outer = paper_rule(modifier.name)
        assert outer is not None, f"no rule in checks/papers for modifier '{modifier.name}'"
        known = {"gradients": iter(gradients), "moments": subject.about.get("moments", {})}
        extra = {name: value for name, value in known.items() if name in inspect.signature(outer).parameters}
        given = hyperparameters(outer, {**settings, **modifier.settings}, modifier.name, factors)
        steps = outer(theta, steps, **extra, **given)
    for values in steps:
        yield np.asarray(values).copy()
