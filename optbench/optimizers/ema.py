r"""Exponential moving average of the weights (Polyak and Juditsky, 1992, Acceleration of Stochastic Approximation by
Averaging, for the idea; Szegedy et al., 2016, arXiv:1512.00567, section 8, for this form), around any optimizer.

    abar_0 = theta_0
    d_t    = decay, or min(decay, (1 + t) / (10 + t)) with warm-up          (t = 1 after the first step)
    abar_t = d_t abar_{t-1} + (1 - d_t) theta_t

Training does not see the average; `eval()` puts it into the parameters. The warm-up is that of TensorFlow's
ExponentialMovingAverage (`num_updates`): without it a short run would keep much of theta_0. State: abar, in at least
fp32, because a step of 1 - d_t = 1e-4 is below the precision of bf16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.errors import ConfigError
from optbench.optimizers.core import foreach
from optbench.optimizers.core.eval_weights import has_eval_weights
from optbench.optimizers.core.rule import Closure, Loss, ParamGroup
from optbench.optimizers.core.wrapper import Wrapper


class EMA(Wrapper):
    """Averages the weights for evaluation. Raises ConfigError around an optimizer with evaluation weights."""

    def __init__(self, inner: Any, *, decay: float, warmup: bool) -> None:
        super().__init__(inner)
        if has_eval_weights(inner):
            raise ConfigError(
                "ema cannot wrap an optimizer that already has evaluation weights",
                "Remove ema, or the optimizer's own averaging (lookahead, schedule-free)",
            )
        self.decay, self.warmup, self.steps = decay, warmup, 0
        self.average = [wide_copy(theta) for theta in self.parameters]

    def step(self, closure: Closure | None = None) -> Loss:
        """Take one inner step and update the average; return the closure's loss."""
        loss = self.step_inner(closure)
        self.steps += 1
        update_average(self.average, self.parameters, 1 - self.current_decay())
        return loss

    def current_decay(self) -> float:
        """Return d_t of the last step."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.warmup else self.decay

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the parameters."""
        if "trained" not in self.__dict__:  # not while it is there already
            self.trained = [theta.detach().clone() for theta in self.parameters]
        foreach.copy_(self.parameters, self.average)

    @torch.no_grad()
    def train(self) -> None:
        """Put the training weights back."""
        trained = self.__dict__.pop("trained", None)
        if trained is not None:
            foreach.copy_(self.parameters, trained)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group; the average of its parameters starts equal to them."""
        known = len(self.parameters)
        super().add_param_group(param_group)
        self.average += [wide_copy(theta) for theta in self.parameters[known:]]

    def state_dict(self) -> dict[str, Any]:
        """Return the inner state, the average and the number of steps."""
        return {**super().state_dict(), "average": self.average, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, average included."""
        super().load_state_dict(state_dict)
        self.steps = state_dict["steps"]
        for average, kept in zip(self.average, state_dict["average"], strict=True):
            average.copy_(kept)


def wide_copy(theta: Tensor) -> Tensor:
    """Return a copy with at least 32 bits per element."""
    return theta.detach().to(torch.promote_types(theta.dtype, torch.float32), copy=True)


@torch.no_grad()
def update_average(average: Sequence[Tensor], thetas: Sequence[Tensor], share: float) -> None:
    """Add share (theta - average) to the average, for all tensors at once (one kernel on CUDA)."""
    wide = [
        theta if theta.dtype == mean.dtype else theta.to(mean.dtype)
        for mean, theta in zip(average, thetas, strict=True)
    ]
    foreach.lerp_(list(average), wide, share)
