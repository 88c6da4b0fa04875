"""The base of optimizers with a rule of their own for matrices, and AdamW for all other parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.contracts import Problem
from optbench.optimizers.adam import adam_numbers, adamw
from optbench.optimizers.core.engine import RuleOptimizer
from optbench.optimizers.core.matrices_and_rest import groups_with_rest
from optbench.optimizers.core.rule import Hyperparameters, ParamGroup, Rule, State


class MatrixRuleOptimizer(RuleOptimizer):
    """A rule for the parameters whose role is in `matrices`, AdamW with `adam_lr` for the rest.

    A subclass sets `matrix_rule`, gives its settings to `add_settings`, and defines `matrix_state` and
    `matrix_numbers`."""

    matrix_rule: Rule

    def __init__(
        self,
        problem: Problem,
        *,
        lr: float,
        weight_decay: float,
        matrices: Sequence[str],
        no_decay: Sequence[str],
        adam_lr: float,
        adam_betas: tuple[float, float],
        adam_eps: float,
        engine: str = "auto",
    ) -> None:
        groups = groups_with_rest(problem, matrices, no_decay, lr, adam_lr)
        rest = {"lr": lr, "weight_decay": weight_decay, "betas": adam_betas, "eps": adam_eps, "rule": "matrix"}
        super().__init__(groups, rest, engine)

    def add_settings(self, **settings: object) -> None:
        """Add settings of the rule of matrices to the groups, those of later ones too."""
        for group in (self.defaults, *self.param_groups):
            group.update(settings)

    def matrix_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the state of a matrix before the first step, in the rule's order."""
        raise NotImplementedError

    def matrix_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the last arguments of the rule of matrices in step t (from 1)."""
        raise NotImplementedError

    def rest_numbers(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the numbers of AdamW in step t (from 1)."""
        return *adam_numbers(group, t), kept(group)

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of the group."""
        return adamw if group["rule"] == "rest" else type(self).matrix_rule

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the state of the rule of matrices, or two moments for the rest."""
        if group["rule"] == "rest":
            return {name: torch.zeros_like(theta) for name in ("m", "v")}
        return self.matrix_state(theta, group)

    def hyperparameters(self, group: ParamGroup, t: int) -> Hyperparameters:
        """Return the numbers of the group's rule."""
        return self.rest_numbers(group, t) if group["rule"] == "rest" else self.matrix_numbers(group, t)


def kept(group: ParamGroup) -> float:
    """Return 1 - lr * weight_decay."""
    return 1 - group["lr"] * group["weight_decay"]
