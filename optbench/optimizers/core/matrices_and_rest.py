"""Matrices and the rest: their parameter groups, and an optimizer of matrices alone with AdamW for the rest, as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.errors import ConfigError
from optbench.optimizers.core.groups import check_roles, parameter_groups
from optbench.optimizers.core.inner_state import full_state, load_full_state
from optbench.optimizers.core.interface import Optimizer, takes_closure
from optbench.optimizers.core.rule import Closure, Loss, ParamGroup

SETTINGS = ("lr", "betas", "eps", "weight_decay")


def groups_with_rest(
    problem: Problem, matrices: Sequence[str], no_decay: Sequence[str], lr: float, rest_lr: float
) -> list[ParamGroup]:
    """Return groups with "rule": "matrix" for parameters of two dimensions or more whose role is in `matrices`, else
    "rest", which have another learning rate. Raises ConfigError for an unknown role."""
    check_roles(matrices, "matrices")
    chosen = [p for p in problem.parameters if p.role in matrices and p.tensor.ndim > 1]
    rest = [p for p in problem.parameters if not any(p is other for other in chosen)]
    return [
        {**group, "lr": rate, "rule": rule}
        for part, rate, rule in ((chosen, lr, "matrix"), (rest, rest_lr, "rest"))
        if part
        for group in parameter_groups(Problem(tuple(part)), no_decay)
    ]


class MatricesAndRest:
    """Drives both. A model without matrices, or without anything else, has one of them only.

    Attributes that are not found here (`eval`, `train`, ...) are those of the optimizer of the matrices."""

    _step_supports_amp_scaling = False  # an overflow skips the step of both

    def __init__(self, matrices: Optimizer | None, rest: Optimizer | None) -> None:
        self.parts: dict[str, Optimizer] = {}
        self.parts |= {"matrices": matrices} if matrices is not None else {}
        self.parts |= {"rest": rest} if rest is not None else {}

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__.get("parts", {})
        if "matrices" not in parts:
            raise AttributeError(name)
        return getattr(parts["matrices"], name)

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups of both."""
        return [group for part in self.parts.values() for group in part.param_groups]

    @property
    def state(self) -> dict[Tensor, Any]:
        """The state of both, by parameter."""
        return {tensor: state for part in self.parts.values() for tensor, state in getattr(part, "state", {}).items()}

    def step(self, closure: Closure | None = None) -> Loss:
        """Take a step of both. The matrices' optimizer gets the closure if it takes one; else it is called once."""
        main = self.parts.get("matrices")
        passed = closure is not None and main is not None and takes_closure(main)
        loss = closure() if closure is not None and not passed else None
        for part in self.parts.values():
            if part is main and passed:
                loss = part.step(closure)
            else:
                part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return both state dicts, by name."""
        return {name: full_state(part) for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both states."""
        for name, part in self.parts.items():
            load_full_state(part, state_dict[name])


def adamw_of_rest(groups: list[ParamGroup], settings: Mapping[str, Any]) -> Optimizer | None:
    """Return AdamW for the rest at the settings `rest`; None if there is no rest. Raises ConfigError without them."""
    rest = settings.get("rest")
    if not isinstance(rest, Mapping) or set(rest) != set(SETTINGS):
        raise ConfigError(
            f"an optimizer of matrices alone needs the settings of AdamW for the rest: {', '.join(SETTINGS)}",
            "rest: {lr: 1.0e-3, betas: [0.9, 0.999], eps: 1.0e-8, weight_decay: 0.0}",
        )
    beta1, beta2 = rest["betas"]
    decay, betas = rest["weight_decay"], (beta1, beta2)
    return torch.optim.AdamW(groups, rest["lr"], betas, rest["eps"], decay) if groups else None
