r"""Lookahead (Zhang, Lucas, Hinton and Ba, 2019, Lookahead Optimizer: k steps forward, 1 step back, arXiv:1907.08610,
algorithm 1), around any optimizer.

    phi_0 = theta_0                                      (slow weights, copied at construction)
    theta moves by the inner optimizer; after every k-th step
    phi   = phi + alpha (theta - phi);   theta = phi

A synchronisation keeps the inner optimizer's state. `eval()` puts the slow weights into the parameters; `train()`
undoes it. State: phi.
"""

from __future__ import annotations

from typing import Any

import torch

from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.rule import Closure, Loss, ParamGroup
from optbench.optimizers.core.wrapper import Wrapper


class Lookahead(Wrapper):
    """Adds slow weights to an optimizer. Raises ConfigError if it already has evaluation weights."""

    def __init__(self, inner: Any, *, k: int, alpha: float) -> None:
        super().__init__(inner)
        if has_eval_weights(inner):
            raise ConfigError(
                "lookahead cannot wrap an optimizer that already has evaluation weights",
                "Remove lookahead, or the optimizer's own averaging (lookahead, schedule-free)",
            )
        self.k, self.alpha, self.steps = k, alpha, 0
        self.slow = [theta.detach().clone() for theta in self.parameters]

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step; synchronise after every k-th. Return the closure's loss."""
        loss = self.step_inner(closure)
        self.steps += 1
        if self.steps % self.k == 0:
            with torch.no_grad():
                for slow, theta in zip(self.slow, self.parameters, strict=True):
                    theta.copy_(slow.lerp_(theta, self.alpha))
        return loss

    @torch.no_grad()
    def eval(self) -> None:
        """Put the slow weights into the parameters."""
        if "fast" not in self.__dict__:  # not while they are there already
            self.fast = [theta.detach().clone() for theta in self.parameters]
        for slow, theta in zip(self.slow, self.parameters, strict=True):
            theta.copy_(slow)

    @torch.no_grad()
    def train(self) -> None:
        """Put the fast weights back."""
        for fast, theta in zip(self.__dict__.pop("fast", ()), self.parameters, strict=False):
            theta.copy_(fast)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group; the slow weights of its parameters start equal to them."""
        known = len(self.parameters)
        super().add_param_group(param_group)
        self.slow += [theta.detach().clone() for theta in self.parameters[known:]]

    def state_dict(self) -> dict[str, Any]:
        """Return the inner state, the slow weights and the number of steps."""
        return {**super().state_dict(), "slow": self.slow, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, slow weights included."""
        super().load_state_dict(state_dict)
        self.steps = state_dict["steps"]
        with torch.no_grad():
            for slow, kept in zip(self.slow, state_dict["slow"], strict=True):
                slow.copy_(kept)
