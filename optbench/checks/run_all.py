"""All checks of one optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import torch

from optbench.checks import behaviour, engines, gradient_handling, invariances
from optbench.checks.faithful import as_shipped, faithful, modifiers
from optbench.checks.paper_rules import optimizer_about, paper_names
from optbench.checks.result import BY_DEFAULT, DIFFERS, NOT_APPLICABLE, CheckResult, Observation, differs
from optbench.checks.subject import Subject, make_subject
from optbench.config import RunConfig
from optbench.counter_rng import seed_torch
from optbench.errors import ConfigError, OptbenchError, first_line

Check = Callable[[Subject], Observation]
CHECKS: tuple[Check, ...] = (
    faithful,
    as_shipped,
    modifiers,
    invariances.scale,
    invariances.permutation,
    invariances.rotation,
    behaviour.state_dict,
    behaviour.groups,
    gradient_handling.missing_gradient,
    gradient_handling.zero_gradient,
    gradient_handling.nan_gradient,
    behaviour.low_precision,
    behaviour.closure,
    gradient_handling.gradients,
    gradient_handling.memory_layout,
    engines.engines,
    engines.recompiles,
)
"""Each function's name is the check's name in results and under `about.differs`."""


def check(config: RunConfig, against: str = "", *, distributed: bool = False) -> list[CheckResult]:
    """Return one result per check, in the order of CHECKS; with `distributed` also those on two ranks.

    Raises ConfigError if the optimizer cannot be built or `against` names no rule."""
    if against and against not in paper_names():
        raise ConfigError(f"--against: unknown rule '{against}'", f"Choose from {', '.join(paper_names())}")
    subject = make_subject(config, against)
    subject = replace(subject, paper_about=optimizer_about(subject.against))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are tiny: a second thread only waits
    try:
        return [*(run_check(one, subject) for one in CHECKS), *(on_ranks(config) if distributed else ())]
    finally:
        torch.set_num_threads(threads)


def on_ranks(config: RunConfig) -> list[CheckResult]:
    """Return the results of the checks on two ranks."""
    from optbench.checks.ranks import distributed

    return list(distributed(config))


def run_check(function: Check, subject: Subject) -> CheckResult:
    """Run one check with fixed random numbers; an exception of the optimizer is a difference."""
    seed_torch(0)
    name = function.__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries warn
            state, detail = function(subject)
        by_default = BY_DEFAULT if function is as_shipped and state == DIFFERS else ""
    except OptbenchError:
        raise
    except Exception as error:  # never declared by default: the fault may be ours
        state, detail = differs(f"raises {type(error).__name__}: {first_line(error)[:120]}")
        by_default = ""
    declared = subject.declared_difference(name) or by_default
    return CheckResult(name, state, detail, declared if state != NOT_APPLICABLE else "")
