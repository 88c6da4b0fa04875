"""Checks that an implementation is the paper's rule: its steps against those of `papers/NAME.py`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from optbench.checks.deviation import Deviation, deviation
from optbench.checks.gradient_feeds import GradientFeed, feed_type
from optbench.checks.paper_rules import absent_hyperparameters, default_settings, hyperparameters, paper_rule
from optbench.checks.papers import Array, Rule
from optbench.checks.result import Observation, differs, not_applicable, passes
from optbench.checks.subject import Facts, Subject
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.optimizers.core.shipped import SHIPPED_SETTINGS, pinned_differences

STEPS = 200
SHIPPED_STEPS = 20  # at a library's defaults: differences show early
DECAYS = (0.0, 0.1)
TOLERANCE = 1e-6  # of the farthest distance from the start; float64 rounding stays below 1e-9
ENGINE_ARGUMENTS = ("foreach", "fused", "capturable", "differentiable", "triton", "multi_tensor", "compile_step")
"""The libraries' arguments that choose an engine and do not change the rule."""


def faithful(subject: Subject) -> Observation:
    """Check the rule at the file's settings, for tensors of rank 0 to 4, with and without weight decay."""
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
    return compare(subject, subject.all_settings, decays=(0.0,))


def no_rule(subject: Subject) -> Observation:
    """Return that `papers/` has no rule for this optimizer."""
    return not_applicable(f"no rule in checks/papers for '{subject.against}'")


def compare(subject: Subject, settings: Facts, decays: Sequence[float] = DECAYS) -> Observation:
    """Compare a subject with its paper's rule at these settings."""
    rule = paper_rule(subject.against)
    if rule is None:
        return no_rule(subject)
    cases = list(deviations(subject, rule, settings, decays))
    compared = [case for case in cases if isinstance(case, Deviation)]
    refused = refusals([case for case in cases if not isinstance(case, Deviation)])
    beyond = [case for case in compared if case.first_step is not None]
    absent = absent_hyperparameters(rule, settings)
    notes = [*refused, *([f"{', '.join(absent)} of the paper as in optimizer={subject.against}"] if absent else [])]
    if beyond or not compared:
        share = f"{len(beyond)} of {len(compared)} cases" if 0 < len(beyond) < len(compared) else ""
        return differs("; ".join(filter(None, [*map(str, earliest(beyond)), share, *notes])))
    largest = max(case.largest for case in compared)
    return passes("; ".join([f"{len(compared)} cases equal to {largest:.1e}", *notes]))


def refusals(cases: Sequence[tuple[int, str]]) -> list[str]:
    """Return one sentence per reason, with the ranks of the refused tensors."""
    ranks: dict[str, list[int]] = {}
    for rank, reason in dict.fromkeys(cases):
        ranks.setdefault(reason, []).append(rank)
    return [f"refuses rank {', '.join(map(str, refused))}: {reason}" for reason, refused in ranks.items()]


def earliest(beyond: Sequence[Deviation]) -> list[Deviation]:
    """Return, for each weight decay, the case that differs first; the largest of several."""
    chosen: dict[float, Deviation] = {}
    for case in sorted(beyond, key=lambda case: (case.first_step, -case.largest)):
        chosen.setdefault(case.decay, case)
    return list(chosen.values())


def deviations(
    subject: Subject, rule: Rule, settings: Facts, decays: Sequence[float]
) -> Iterator[Deviation | tuple[int, str]]:
    """Yield a Deviation for every shape and weight decay, or (rank, reason) where the subject refuses the shape."""
    decays = decays if "weight_decay" in subject.all_settings else (0.0,)
    steps = SHIPPED_STEPS if subject.shipped else subject.fact("horizon", STEPS)
    tolerance = subject.fact("tolerance", TOLERANCE)
    for shape in map(tuple, subject.fact("shapes", feed_type(subject).SHAPES)):
        for decay in decays:
            case = f"shape {shape}".replace(",)", ")") + (f", weight decay {decay:g}" if len(decays) > 1 else "")
            try:
                feed = feed_type(subject)(subject.with_settings(weight_decay=decay), shape)
            except ConfigError as error:
                yield len(shape), str(error.args[0])
                continue
            ours = []
            for _ in range(steps):
                feed.advance()
                ours.append(feed.values())
            theirs = list(paper_trajectory(rule, feed, {**settings, "weight_decay": decay}, subject))
            yield deviation(case, decay, feed.start, ours, theirs, tolerance)


def paper_trajectory(rule: Rule, feed: GradientFeed, settings: Facts, subject: Subject) -> Iterator[Array]:
    """Yield the paper's parameters after every step of a feed, with the subject's modifiers."""
    theta = feed.start.copy()
    steps = rule(theta, iter(feed.paper_steps), **hyperparameters(rule, settings, subject.against))
    gradients = [inputs[0] if isinstance(inputs, tuple) else inputs for inputs in feed.paper_steps]
    for modifier in subject.config.modifiers:
        outer = paper_rule(modifier.name)
        assert outer is not None, f"no rule in checks/papers for modifier '{modifier.name}'"
        extra = {"gradients": iter(gradients)} if "gradients" in inspect.signature(outer).parameters else {}
        steps = outer(theta, steps, **extra, **hyperparameters(outer, modifier.settings, modifier.name))
    for values in steps:
        yield np.asarray(values).copy()
