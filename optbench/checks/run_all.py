"""All checks of one optimizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from optbench.checks import behaviour, engines, invariances
from optbench.checks.faithful import as_shipped, faithful, modifiers, optimizer_about, papers
from optbench.checks.result import BY_DEFAULT, DIFFERS, NOT_APPLICABLE, Finding, differs
from optbench.checks.subject import Subject, subject_of
from optbench.config import RunConfig
from optbench.errors import ConfigError, OptbenchError, first_line

CHECKS: tuple[Callable[[Subject], tuple[str, str]], ...] = (
    faithful,
    as_shipped,
    modifiers,
    invariances.scale,
    invariances.permutation,
    invariances.rotation,
    behaviour.state_dict,
    behaviour.groups,
    behaviour.missing_gradient,
    behaviour.zero_gradient,
    behaviour.nan_gradient,
    behaviour.low_precision,
    behaviour.closure,
    behaviour.gradients,
    behaviour.memory_layout,
    engines.engines,
    engines.recompiles,
)


def check(config: RunConfig, against: str = "") -> list[Finding]:
    """One finding per check, in the order of CHECKS. Raises ConfigError where the optimizer cannot be built at all,
    or `against` names no paper."""
    return list(findings(config, against))


def findings(config: RunConfig, against: str = "") -> Iterator[Finding]:
    """The same one by one."""
    if against and against not in papers():
        raise ConfigError(f"--against {against}: no such rule is written down", f"Known: {', '.join(papers())}")
    subject = subject_of(config, against)
    subject = replace(subject, paper_about=optimizer_about(subject.against))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    try:
        for one in CHECKS:
            yield looked_at(one, subject)
    finally:
        torch.set_num_threads(threads)


def looked_at(one: Callable[[Subject], tuple[str, str]], subject: Subject) -> Finding:
    """The finding of one check; what an optimizer raises in it is a difference. Its random numbers are fixed."""
    torch.manual_seed(0)
    name = one.__name__
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries' own
            state, detail = one(subject)
        by_default = BY_DEFAULT if one is as_shipped and state == DIFFERS else ""
    except OptbenchError:
        raise
    except Exception as error:  # never declared by default: it may be ours
        state, detail = differs(f"raises {type(error).__name__}: {first_line(error)[:120]}")
        by_default = ""
    declared = subject.declared(name) or by_default
    return Finding(name, state, detail, declared if state != NOT_APPLICABLE else "")
