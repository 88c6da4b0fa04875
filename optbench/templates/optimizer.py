"""An optimizer of your own, as torch has them. This one is Adam: change `step`.

optbench run optimizer=./my_name.py:MyName model=mlp steps=200
optbench sweep optimizer=adamw,./my_name.py:MyName model=mlp steps=200 --trials 4 --seeds 3
optbench check optimizer=./my_name.py:MyName
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor


class MyName(torch.optim.Optimizer):
    """The arguments with their defaults are settings: optimizer.lr=3e-3 optimizer.eps=1e-6."""

    search: ClassVar[dict[str, str]] = {"lr": "log [1e-4, 1e-1]"}  # what a sweep tunes, and between which values

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        settings = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """Change the parameters by their gradients; `closure` computes loss and gradients, and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, self.state[parameter], group)
        return loss

    def update(self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Change one parameter. `state` is kept between steps and in checkpoints."""
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - group["beta1"])
        state["square"].lerp_(gradient.square(), 1 - group["beta2"])
        mean = state["mean"] / (1 - group["beta1"] ** state["step"])
        square = state["square"] / (1 - group["beta2"] ** state["step"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(group["lr"] * mean / (square.sqrt() + group["eps"]))
