"""Is it the paper's rule? Two hundred steps of an implementation beside the same steps of `papers/NAME.py`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optbench import config as configuration
from optbench.checks.gradient_feeds import feed_of
from optbench.checks.result import differs, not_applicable, passes
from optbench.checks.subject import Subject
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.optimizers.core.build import SHIPPED_SETTINGS, pinned_differences

STEPS = 200
SHIPPED_STEPS = 20  # of a library's defaults: what differs shows early
DECAYS = (0.0, 0.1)
TOLERANCE = 1e-6  # of the farthest distance from the start; rounding in float64 stays below 1e-9
HOW_IT_RUNS = ("foreach", "fused", "capturable", "differentiable", "triton", "multi_tensor", "compile_step")
"""Constructor arguments of the libraries that choose an engine and change no rule."""
Outcome = tuple[str, str]


@dataclass(frozen=True)
class Deviation:
    """How far two trajectories (T, ...) from one start part, in units of the farthest distance from it."""

    case: str
    steps: int
    first_step: int | None
    """The first step (from 1) in which they are apart by more than the tolerance; None: never."""
    largest: float
    first_ratio: float | None
    """Length of the first move over that of the paper's; None where the paper's first step moves nothing."""

    def __str__(self) -> str:
        ratio = self.first_ratio
        first = "" if ratio is None or abs(ratio - 1) < 1e-3 else f"; first step {ratio:.3g}x the paper's"
        if self.first_step is None:
            return f"{self.case}: equal to {self.largest:.1e}"
        return f"{self.case}: differs from step {self.first_step} of {self.steps} on, by {self.largest:.2g}{first}"


def faithful(subject: Subject) -> Outcome:
    """The rule at the settings of the file, over ranks 0 to 4, with weight decay and without."""
    return compared(subject.without_modifiers(), subject.all_settings)


def as_shipped(subject: Subject) -> Outcome:
    """The library's own defaults for everything but learning rate and weight decay, against the paper."""
    if subject.is_users_own or subject.config.optimizer.target.startswith("optbench.optimizers."):
        return not_applicable("ours or one's own: no library's defaults")
    if paper_of(subject.against) is None:
        return not_applicable(f"no paper's rule is written down for '{subject.against}'")
    shipped = replace(subject.without_modifiers(), shipped=True)
    given = {key: subject.all_settings[key] for key in SHIPPED_SETTINGS if key in subject.all_settings}
    state, detail = compared(shipped, {**default_settings(subject.against), **given})
    named = differences(subject)
    return state, "; ".join(filter(None, [detail, ", ".join(named)]))


def differences(subject: Subject) -> list[str]:
    """Every default of the library that is not what we pin, and every value of ours that the implementation lacks."""
    target = imports.load(subject.config.optimizer.target)
    named = pinned_differences(subject.all_settings, subject.implementation, target)
    named = [sentence for sentence in named if sentence.split()[0] not in HOW_IT_RUNS]
    ours, required = default_settings(subject.against), subject.implementation.get("requires", {})
    return named + [f"{k} {v} (the paper's file: {ours[k]})" for k, v in required.items() if ours.get(k, v) != v]


def modifiers(subject: Subject) -> Outcome:
    """What is laid over the optimizer, over the paper's rule, without weight decay."""
    if not subject.config.modifiers:
        return not_applicable("no modifier is on")
    return compared(subject, subject.all_settings, decays=(0.0,))


def compared(subject: Subject, settings: Mapping[str, Any], decays: Sequence[float] = DECAYS) -> Outcome:
    """A subject against its paper at these settings."""
    rule = paper_of(subject.against)
    if rule is None:
        return not_applicable(f"no paper's rule is written down for '{subject.against}'")
    cases = list(deviations(subject, rule, settings, decays))
    taken = [case for case in cases if isinstance(case, Deviation)]
    refused = refusals([case for case in cases if not isinstance(case, Deviation)])
    apart = [case for case in taken if case.first_step is not None]
    notes = "; ".join([*refused, *borrowed(rule, settings, subject.against)])
    if apart or not taken:
        share = f"{len(apart)} of {len(taken)} cases" if 0 < len(apart) < len(taken) else ""
        return differs("; ".join(filter(None, [*map(str, earliest(apart)), share, notes])))
    return passes("; ".join(filter(None, [f"{len(taken)} cases equal to {max(c.largest for c in taken):.1e}", notes])))


def refusals(cases: Sequence[tuple[int, str]]) -> list[str]:
    """Each reason once, with the ranks that it concerns."""
    ranks: dict[str, list[int]] = {}
    for rank, reason in dict.fromkeys(cases):
        ranks.setdefault(reason, []).append(rank)
    return [f"refuses rank {', '.join(map(str, found))}: {reason}" for reason, found in ranks.items()]


def earliest(apart: Sequence[Deviation]) -> list[Deviation]:
    """For each weight decay the case that differs first, and most."""
    found: dict[str, Deviation] = {}
    for case in sorted(apart, key=lambda case: (case.first_step, -case.largest)):
        found.setdefault(case.case.partition("weight decay")[2], case)
    return list(found.values())


def deviations(
    subject: Subject, rule: Any, settings: Mapping[str, Any], decays: Sequence[float]
) -> Iterator[Deviation | tuple[int, str]]:
    """One deviation for every rank and decay, or the rank that the subject does not take, with the reason."""
    decays = decays if "weight_decay" in subject.all_settings else (0.0,)
    steps = SHIPPED_STEPS if subject.shipped else subject.fact("horizon", STEPS)
    tolerance = subject.fact("tolerance", TOLERANCE)
    for shape in map(tuple, subject.fact("shapes", feed_of(subject).SHAPES)):
        for decay in decays:
            case = f"shape {shape}".replace(",)", ")") + (f", weight decay {decay:g}" if len(decays) > 1 else "")
            try:
                feed = feed_of(subject)(subject.having(weight_decay=decay), shape)
            except ConfigError as error:
                yield len(shape), str(error.args[0])
                continue
            ours = [feed.values() for _ in range(steps) if feed.advance() is None]
            theirs = list(trajectory(rule, feed, {**settings, "weight_decay": decay}, subject))
            yield deviation(case, feed.start, ours, theirs, tolerance)


def trajectory(rule: Any, feed: Any, settings: Mapping[str, Any], subject: Subject) -> Iterator[np.ndarray]:
    """The paper's parameters after every step of a feed, modifiers laid over."""
    theta = feed.start.copy()
    steps = rule(theta, iter(feed.seen), **keywords(rule, settings, subject.against))
    slopes = [seen[0] if isinstance(seen, tuple) else seen for seen in feed.seen]
    for modifier in subject.config.modifiers:
        over = paper_of(modifier.name)
        extra = {"gradients": iter(slopes)} if "gradients" in inspect.signature(over).parameters else {}
        steps = over(theta, steps, **extra, **keywords(over, modifier.settings, modifier.name))
    for values in steps:
        yield np.asarray(values).copy()


def deviation(
    case: str, start: np.ndarray, ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], tolerance: float
) -> Deviation:
    """The deviation of one trajectory from another."""
    reach = max(float(np.abs(values - start).max()) for values in theirs)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        apart = np.array([np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)]) / (reach or 1.0)
    off = np.flatnonzero(~(apart <= tolerance))  # a nan is off too
    moved = next((t for t, values in enumerate(theirs) if np.any(values != start)), 0)
    lengths = [float(np.linalg.norm(values[moved] - start)) for values in (ours, theirs)]
    ratio = lengths[0] / lengths[1] if lengths[1] > 0 else None
    return Deviation(case, len(ours), int(off[0]) + 1 if len(off) else None, float(apart.max()), ratio)


def paper_of(name: str) -> Any:
    """The generator function of `papers/NAME.py`, or None where there is none."""
    module = f"optbench.checks.papers.{name}"
    if not name.isidentifier() or importlib.util.find_spec(module) is None:
        return None
    return importlib.import_module(module).paper


def papers() -> list[str]:
    """Names of the papers' rules of optimizers that are written down."""
    import pkgutil

    from optbench.checks import papers as folder

    laid_over = configuration.options(configuration.config_folders(None), "modifier")
    return [module.name for module in pkgutil.iter_modules(folder.__path__) if module.name not in laid_over]


def keywords(rule: Any, settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A rule's hyperparameters: those of the settings, else of the paper's own file. ConfigError where one is
    nowhere."""
    wanted = [p.name for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
    absent = [key for key in wanted if key not in settings]
    spare = default_settings(name) if absent else {}
    missing = [key for key in absent if key not in spare]
    if missing:
        raise ConfigError(f"the rule of '{name}' needs {', '.join(missing)}, which the optimizer does not have")
    return {key: settings[key] if key in settings else spare[key] for key in wanted}


def borrowed(rule: Any, settings: Mapping[str, Any], name: str) -> list[str]:
    """A remark on the hyperparameters that the optimizer does not have and the paper's own file gives."""
    wanted = [p.name for p in inspect.signature(rule).parameters.values() if p.kind is p.KEYWORD_ONLY]
    absent = [key for key in wanted if key not in settings]
    return [f"{', '.join(absent)} of the paper as in optimizer={name}"] if absent else []


def default_settings(name: str) -> dict[str, Any]:
    """The settings of `conf/optimizer/NAME.yaml`; of the first that refers to this paper where there is none."""
    folders = configuration.config_folders(None)
    known = configuration.options(folders, "optimizer")
    referring = [n for n in known if optimizer_about(n).get("reference") == name]
    return dict(configuration.load([f"optimizer={(name if name in known else referring[0])}"]).optimizer.settings)


def optimizer_about(name: str) -> dict[str, Any]:
    """The facts of an optimizer's file."""
    file = configuration.find_option(configuration.config_folders(None), "optimizer", name)
    return configuration.read_yaml(file).get("about", {}) if file else {}
