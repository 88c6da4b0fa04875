"""Parameter groups by role: they decide which parameters decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optbench.contracts import ROLES, Problem
from optbench.errors import ConfigError, suggest

if TYPE_CHECKING:
    from optbench.optimizers.core.interface import Optimizer
    from optbench.optimizers.core.rule import ParamGroup


def parameter_groups(problem: Problem, no_decay: Sequence[str] | None) -> list[ParamGroup]:
    """Return groups that cover every parameter exactly once: decayed parameters, then those with a role in `no_decay`.

    None for `no_decay` (an optimizer without weight decay) gives a single group."""
    if no_decay is None:
        return [{"params": [p.tensor for p in problem.parameters]}]
    check_roles(no_decay)
    decayed = [p.tensor for p in problem.parameters if not p.has_role(no_decay)]
    spared = [p.tensor for p in problem.parameters if p.has_role(no_decay)]
    groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def is_spared(group: ParamGroup) -> bool:
    """Return True for a group, as given to an optimizer, of parameters with a role in `no_decay`."""
    return group.get("weight_decay") == 0.0


def check_roles(roles: Sequence[str], key: str = "no_decay") -> None:
    """Raise ConfigError for an unknown role in the setting `key`."""
    for role in roles:
        if role not in ROLES:
            raise ConfigError(f"optimizer.{key}: unknown role '{role}'", suggest(role, ROLES))


def check_coverage(optimizer: Optimizer, problem: Problem) -> None:
    """Raise ConfigError unless the optimizer's groups hold every parameter of the problem exactly once."""
    held = [id(tensor) for group in optimizer.param_groups for tensor in group["params"]]
    wanted = {id(p.tensor): p.name for p in problem.parameters}
    wrong = [name for key, name in wanted.items() if held.count(key) != 1]
    if wrong or len(held) != len(wanted):
        detail = f"; {wrong[0]} is missing or repeated" if wrong else ""
        raise ConfigError(
            f"the optimizer's groups must hold every parameter exactly once: they hold {len(held)} tensors "
            f"for {len(wanted)} parameters{detail}"
        )
