"""Optimizers as other packages write them, each with a demand of its own; the tests give each by its import path."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


class Plain(Optimizer):
    """Gradient descent; the others change one thing about it."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])


class AssertsFlag(Plain):
    """Its groups must say whether they hold matrices; it says so by an assertion without words."""

    def __init__(self, param_groups: Any) -> None:
        for group in param_groups:
            assert "is_matrix" in group
            if group["is_matrix"]:
                assert all(p.ndim == 2 for p in group["params"])
        super().__init__(param_groups)


class NamesFlag(Plain):
    """The same in words."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        for group in params:
            if "is_matrix" not in group:
                raise ValueError("`is_matrix` must be set.")
        super().__init__(params, lr)


class ReadsKey(Plain):
    """It misses a key in its step."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            assert group["rank"] > 0
        super().step()


class AssertsDimensions(Plain):
    """It refuses a vector in its step, without words."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                assert p.ndim >= 2  # its comment is not part of the message
        super().step()


class WantsTensors(Plain):
    def __init__(self, params: Any, lr: float = 0.05) -> None:
        assert isinstance(params[0], torch.nn.Parameter)
        super().__init__(params, lr)


class WantsNet(Plain):
    """It takes the model by a name that doesn't say so."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__([p for _, p in params.named_parameters()], lr)


class TakesModel(Plain):
    """It takes the model by name, with a decay of its own choice."""

    def __init__(self, model: torch.nn.Module, lr: float = 0.05, weight_decay: float = 0.1) -> None:
        super().__init__(list(model.parameters()), lr)


class AroundAnother:
    """It takes an optimizer, and gets groups."""

    def __init__(self, base: Any, lr: float = 0.05) -> None:
        self.base = base

    @property
    def param_groups(self) -> Any:
        return self.base.param_groups

    def step(self, closure: Any = None) -> None: ...
    def zero_grad(self) -> None: ...
    def state_dict(self) -> None: ...
    def load_state_dict(self, state: Any) -> None: ...


class NoStep(Optimizer):
    """It trains by hooks of the gradients."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})


class Differentiates(Plain):
    """Gradient descent with each gradient divided by 1 + |Hessian times ones|."""

    def step(self, closure: Any = None) -> Any:
        pairs = [(p, g["lr"]) for g in self.param_groups for p in g["params"]]
        tensors = [p for p, _ in pairs]
        grads = [p.grad for p in tensors]
        curvature = torch.autograd.grad(grads, tensors, [torch.ones_like(p) for p in tensors])
        with torch.no_grad():
            for (p, lr), h in zip(pairs, curvature, strict=True):
                p.sub_(lr * p.grad / (1 + h.abs()))


class Averages(Plain):
    """It has weights for evaluation, and so needs no schedule."""

    def train(self) -> None: ...
    def eval(self) -> None: ...


class Annealed(Plain):
    """It keeps a function where a number would do."""

    def __init__(self, params: Any, lr: float = 0.05, probability: Any = None) -> None:
        super().__init__(params, lr)
        for group in self.param_groups:
            group["probability"] = (lambda step: 0.5) if probability is None else probability
