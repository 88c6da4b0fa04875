"""What a constructor gets to optimize: parameter groups, unless the facts of the optimizer say otherwise (`takes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from optbench.contracts import ROLES, Parameter, Problem
from optbench.errors import ConfigError, suggest
from optbench.optimizers.core.groups import parameter_groups
from optbench.optimizers.core.rule import ParamGroup

MATRICES, REST = "matrices", "rest"
NoDecay = Sequence[str] | None
"""The roles without weight decay; None for an optimizer without weight decay."""


def first_argument(
    problem: Problem, settings: Mapping[str, Any], implementation: Mapping[str, Any], no_decay: NoDecay
) -> object:
    """Return what a constructor gets to optimize, in the form that the implementation `takes`:

    nothing said          parameter groups; with `groups`, those of `matrices` and of the `rest` have further settings
    roles                 a group for each role, with its "role"
    matrices              parameter groups of the matrices alone
    named_parameters      pairs (name, tensor)
    model                 the network itself
    problem               the Problem itself

    Raises ConfigError for another form, and where a run has no whole network to give."""
    kinds = implementation.get("groups")
    forms: dict[str, Callable[[], object]] = {
        "problem": lambda: problem,
        "model": lambda: network(problem),
        "roles": lambda: groups_by_role(problem, no_decay),
        MATRICES: lambda: parameter_groups(part_of(problem, MATRICES), no_decay),
        "named_parameters": lambda: named_parameters(problem),
        "": lambda: groups_by_kind(problem, settings, no_decay) if kinds else parameter_groups(problem, no_decay),
    }
    form = implementation.get("takes", "")
    if form not in forms:
        raise ConfigError(f"about.takes={form}: unknown form", suggest(form, filter(None, forms)))
    return forms[form]()


def network(problem: Problem) -> object:
    """Return the network. Raises ConfigError without one: its parameters are split between ranks, or a script's."""
    if "" not in problem.modules:
        raise ConfigError("the optimizer takes the model itself, which strategy=fsdp, scripts and checks do not give")
    return problem.modules[""]


def named_parameters(problem: Problem) -> list[tuple[str, Tensor]]:
    """Return the pairs (name, tensor) of all parameters."""
    return [(p.name, p.tensor) for p in problem.parameters]


def groups_by_role(problem: Problem, no_decay: NoDecay) -> list[ParamGroup]:
    """Return parameter groups that hold one role each, named in their "role"."""
    parts = {role: [p for p in problem.parameters if p.role == role] for role in ROLES}
    return [
        {**group, "role": role}
        for role, part in parts.items()
        if part
        for group in parameter_groups(Problem(tuple(part)), no_decay)
    ]


def groups_by_kind(problem: Problem, settings: Mapping[str, Any], no_decay: NoDecay) -> list[ParamGroup]:
    """Return the groups of matrices, each with the settings `matrices`, and those of the rest, with `rest`."""
    return [
        {**group, **(settings.get(kind) or {})}
        for kind in (MATRICES, REST)
        for group in parameter_groups(part_of(problem, kind), no_decay)
    ]


def part_of(problem: Problem, kind: str) -> Problem:
    """Return the problem of the matrices alone (the weights of hidden linear layers), or that of the rest."""
    return Problem(tuple(p for p in problem.parameters if is_matrix(p) == (kind == MATRICES)))


def is_matrix(parameter: Parameter) -> bool:
    """Return True for the weight of a hidden linear layer."""
    return parameter.role == "matrix" and parameter.tensor.ndim == 2
