"""Parameter groups by role: which parameters are decayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optbench.contracts import ROLES, Problem
from optbench.errors import ConfigError, suggest


def parameter_groups(problem: Problem, no_decay: Sequence[str] | None) -> list[dict[str, Any]]:
    """Groups that cover every parameter exactly once: the decayed ones, then those whose role is in `no_decay`.

    None for `no_decay` (an optimizer without weight decay) gives a single group."""
    if no_decay is None:
        return [{"params": [p.tensor for p in problem.parameters]}]
    check_roles(no_decay)
    decayed = [p.tensor for p in problem.parameters if p.role not in no_decay]
    spared = [p.tensor for p in problem.parameters if p.role in no_decay]
    groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def check_roles(roles: Sequence[str]) -> None:
    """ConfigError for a role that does not exist."""
    for role in roles:
        if role not in ROLES:
            raise ConfigError(f"optimizer.no_decay: there is no role '{role}'", suggest(role, ROLES))


def assert_covered(optimizer: Any, problem: Problem) -> None:
    """ConfigError unless the optimizer's groups hold every parameter of the problem exactly once."""
    held = [id(tensor) for group in optimizer.param_groups for tensor in group["params"]]
    wanted = {id(p.tensor): p.name for p in problem.parameters}
    missing = [name for key, name in wanted.items() if held.count(key) != 1]
    if missing or len(held) != len(wanted):
        detail = f", e.g. {missing[0]}" if missing else ""
        raise ConfigError(f"the optimizer's groups hold {len(held)} of {len(wanted)} parameters exactly once{detail}")
