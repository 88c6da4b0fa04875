r"""Exponential moving average of the weights (Polyak and Juditsky, 1992, Acceleration of Stochastic Approximation by
Averaging, for the idea; Szegedy et al., 2016, arXiv:1512.00567, section 8, for this form), around any optimizer.

    abar_0 = theta_0
    d_t    = decay, or min(decay, (1 + t) / (10 + t)) with warm-up          (t = 1 after the first step)
    abar_t = d_t abar_{t-1} + (1 - d_t) theta_t

Training does not see the average; `eval()` lends it. The warm-up is that of TensorFlow's ExponentialMovingAverage
(`num_updates`); it forgets theta_0 in a short run. State: abar, in fp32 where parameters are narrower, for a
step of 1 - d_t = 1e-4 is below the precision of bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import lends_weights
from optbench.optimizers.core.wrapper import Wrapper


class EMA(Wrapper):
    """Averaged weights for evaluation. Raises ConfigError around an optimizer that lends weights itself."""

    def __init__(self, inner: Any, *, decay: float, warmup: bool) -> None:
        super().__init__(inner)
        if lends_weights(inner):
            raise ConfigError(
                "ema cannot wrap an optimizer that already lends weights for evaluation",
                "Leave out ema, or the optimizer's own averaging (lookahead, schedule-free)",
            )
        self.decay, self.warmup, self.steps = decay, warmup, 0
        self.average = [wide_copy(theta) for theta in self.parameters]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One inner step, then one of the average; returns the closure's loss."""
        loss = self.step_inner(closure)
        self.steps += 1
        follow(self.average, self.parameters, 1 - self.decay_now())
        return loss

    def decay_now(self) -> float:
        """d_t of the step that was taken last."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.warmup else self.decay

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average into the parameters."""
        self.trained = [theta.detach().clone() for theta in self.parameters]
        torch._foreach_copy_(self.parameters, self.average)

    @torch.no_grad()
    def train(self) -> None:
        """Put the weights in training back."""
        trained = self.__dict__.pop("trained", None)
        if trained is not None:
            torch._foreach_copy_(self.parameters, trained)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """New parameters begin with an average equal to them."""
        known = len(self.parameters)
        super().add_param_group(param_group)
        self.average += [wide_copy(theta) for theta in self.parameters[known:]]

    def state_dict(self) -> dict[str, Any]:
        """The inner state, the average and the number of steps."""
        return {**super().state_dict(), "average": self.average, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state dict, with the average as it was."""
        super().load_state_dict(state_dict)
        self.steps = state_dict["steps"]
        for average, kept in zip(self.average, state_dict["average"], strict=True):
            average.copy_(kept)


def wide_copy(theta: Tensor) -> Tensor:
    """A copy of at least 32 bits an element."""
    return theta.detach().to(torch.promote_types(theta.dtype, torch.float32), copy=True)


@torch.no_grad()
def follow(average: Sequence[Tensor], thetas: Sequence[Tensor], share: float) -> None:
    """average += share (theta - average), for all tensors at once: one launch for many on CUDA."""
    wide = [
        theta if theta.dtype == mean.dtype else theta.to(mean.dtype)
        for mean, theta in zip(average, thetas, strict=True)
    ]
    torch._foreach_lerp_(list(average), wide, share)
