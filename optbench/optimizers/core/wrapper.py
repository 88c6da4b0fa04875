"""An optimizer around an optimizer: what Lookahead and cautious updates have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Wrapper(torch.optim.Optimizer):
    """Drives `inner` and has its groups and state for its own; a subclass overrides `step`.

    What is not found here (`engine`, `warm_up`, `eval`, ...) is the inner optimizer's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner  # torch's own constructor is not called: it would make groups and a state of its own

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The inner optimizer's groups: a schedule sets their learning rate."""
        return self.inner.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The inner optimizer's state by parameter."""
        return self.inner.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The inner optimizer's."""
        return self.inner.defaults

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not there yet: while unpickling
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    @property
    def parameters(self) -> list[Tensor]:
        """Every parameter, group by group."""
        return [theta for group in self.param_groups for theta in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """The inner optimizer's."""
        self.inner.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The inner optimizer's."""
        self.inner.add_param_group(param_group)

    def step_inner(self, closure: Callable[[], Any] | None) -> Any:
        """The inner optimizer's step; the closure is passed on, never called here."""
        return self.inner.step() if closure is None else self.inner.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's state under "inner"; a subclass adds its own."""
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state dict of the same construction."""
        self.inner.load_state_dict(state_dict["inner"])
