"""Optimizers that are each wrong in one way on purpose, and one that is correct."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Base(torch.optim.Optimizer):
    """Parameter groups, and one `move` for every parameter with a gradient."""

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.9, 0.99), **more: Any) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), **more})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is not None:
                    self.move(theta, theta.grad, group, self.state[theta])
        return loss

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        theta.sub_(g, alpha=group["lr"])


class RightLion(Base):
    """Lion as in its paper."""

    update, keep = 0, 1

    def __init__(
        self, params: Iterable[Any], lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.1
    ) -> None:
        super().__init__(params, lr, betas, weight_decay=weight_decay)

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        m = state.setdefault("m", torch.zeros_like(theta))
        betas = group["betas"]
        u = m.lerp(g, 1 - betas[self.update])
        theta.mul_(1 - group["lr"] * group["weight_decay"]).sub_(u / u.abs().clamp(min=1e-300), alpha=group["lr"])
        m.lerp_(g, 1 - betas[self.keep])


class SwappedLion(RightLion):
    """Lion with swapped betas."""

    update, keep = 1, 0


class EpsInsideAdam(Base):
    """Adam with eps inside the root."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps=eps, weight_decay=weight_decay)

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        t = state["t"] = state.get("t", 0) + 1
        m, v = (state.setdefault(name, torch.zeros_like(theta)) for name in "mv")
        beta1, beta2 = group["betas"]
        g = g + group["weight_decay"] * theta
        m.lerp_(g, 1 - beta1)
        v.lerp_(g * g, 1 - beta2)
        self.update(theta, m / (1 - beta1**t), v / (1 - beta2**t), group)

    def update(self, theta: torch.Tensor, m: torch.Tensor, v: torch.Tensor, group: dict[str, Any]) -> None:
        theta.sub_(m / (v + group["eps"]).sqrt(), alpha=group["lr"])


class LateAdamW(EpsInsideAdam):
    """AdamW with coupled weight decay."""

    def update(self, theta: torch.Tensor, m: torch.Tensor, v: torch.Tensor, group: dict[str, Any]) -> None:
        theta.sub_(m / (v.sqrt() + group["eps"]), alpha=group["lr"])


class NoBetas(torch.optim.SGD):
    """SGD, which has no betas."""

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, lr)


class WritesGradients(Base):
    """Scales the gradient in place."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        theta.sub_(g.mul_(group["lr"]))


class ForgetsItsState(Base):
    """Keeps its momentum outside the state dict."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        self.momentum = getattr(self, "momentum", 0.0) * 0.9 + g
        theta.sub_(self.momentum, alpha=group["lr"])


class SharesItsRate(Base):
    """Uses the first group's learning rate for all."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        theta.sub_(g, alpha=self.param_groups[0]["lr"])


class MovesTheFrozen(Base):
    """Decays parameters that have no gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        for group in self.param_groups:
            for theta in group["params"]:
                theta.mul_(1 - 0.1 * group["lr"])
        return super().step(closure)


class DividesByZero(Base):
    """Normalises gradients, including zero gradients."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        theta.sub_(g / g.norm(), alpha=group["lr"])


class SwallowsNan(RightLion):
    """Replaces nan in its momentum before the step."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        m = state.setdefault("m", torch.zeros_like(theta))
        m.lerp_(g, 0.1)
        theta.sub_(m.nan_to_num().sign(), alpha=group["lr"])


class DropsTheLoss(Base):
    """Does not return the closure's loss."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        super().step(closure)


class RateInItsMomentum(Base):
    """SGD with momentum that scales each gradient by the learning rate of its own step."""

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay)

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        b = state.setdefault("b", torch.zeros_like(theta))
        b.mul_(group["momentum"]).add_(g + group["weight_decay"] * theta, alpha=group["lr"])
        theta.sub_(b)


class KeepsItsFirstRate(RightLion):
    """Lion with the learning rate of its first step, as an engine that caches it would take."""

    def move(self, theta: torch.Tensor, g: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        first = state.setdefault("lr", group["lr"])
        super().move(theta, g, {**group, "lr": first}, state)
