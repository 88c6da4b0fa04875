"""The form in which an optimizer keeps its state between steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optbench.optimizers.core.rule import ParamGroup, Rule, State


class Storage:
    """Keeps the state tensors as the rule uses them; a subclass keeps another form and translates around the rule."""

    def new_state(self, theta: Tensor, state: State) -> State:
        """Return the stored form of a rule's state tensors before the first step."""
        return state

    def rule(self, rule: Rule, theta: Tensor) -> Rule:
        """Return the rule for the stored form: rule(theta, gradient, *stored state, *hyperparameters)."""
        return rule


class StoredState(torch.optim.Optimizer):
    """An optimizer of rules whose state is kept in the form of a `storage`."""

    storage = Storage()

    def new_state(self, theta: Tensor, group: ParamGroup) -> State:
        """Return the rule's state tensors before the first step."""
        raise NotImplementedError

    def rule_of(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        """Return the rule of a tensor in step t."""
        raise NotImplementedError

    def _stored_state(self, theta: Tensor, group: ParamGroup) -> State:
        return self.storage.new_state(theta, self.new_state(theta, group))

    def _stored_rule(self, theta: Tensor, group: ParamGroup, t: int) -> Rule:
        return self.storage.rule(self.rule_of(theta, group, t), theta)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, every tensor in the dtype that it was saved in: torch alone makes it the parameter's."""
        super().load_state_dict(state_dict)
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        thetas = [theta for group in self.param_groups for theta in group["params"]]
        for theta, number in zip(thetas, numbers, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor) and value.dtype != self.state[theta][name].dtype:
                    self.state[theta][name] = value.detach().to(theta.device, copy=True)
