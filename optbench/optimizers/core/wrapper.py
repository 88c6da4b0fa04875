"""The base of optimizers around an optimizer: Lookahead, EMA, cautious updates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optbench.optimizers.core.rule import Closure, Loss, ParamGroup


class Wrapper(torch.optim.Optimizer):
    """Drives `inner` and shares its groups and state; a subclass overrides `step`, which is the inner one here.

    Attributes that are not found here (`engine`, `warm_up`, `eval`, ...) come from the inner optimizer."""

    _step_supports_amp_scaling = False  # an overflow skips the whole step, not only that of a fused inner optimizer

    def __init__(self, inner: Any) -> None:
        self.inner = inner  # without torch's own constructor, which would make separate groups and state

    @property
    def param_groups(self) -> list[ParamGroup]:  # type: ignore[override]  (a plain attribute in torch)
        """The inner optimizer's groups: a schedule sets their learning rate."""
        return self.inner.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]  (a plain attribute in torch)
        """The inner optimizer's state by parameter."""
        return self.inner.state

    @property
    def defaults(self) -> ParamGroup:  # type: ignore[override]  (a plain attribute in torch)
        """The inner optimizer's defaults."""
        return self.inner.defaults

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # not set yet while unpickling
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __getstate__(self) -> dict[str, object]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    @property
    def parameters(self) -> list[Tensor]:
        """Every parameter, group by group."""
        return [theta for group in self.param_groups for theta in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        self.inner.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group: ParamGroup) -> None:
        """Add a group to the inner optimizer."""
        self.inner.add_param_group(param_group)

    def step(self, closure: Closure | None = None) -> Loss:
        """Take the inner optimizer's step; return the closure's loss, if one is given."""
        return self.step_inner(closure)

    def step_inner(self, closure: Closure | None) -> Loss:
        """Take the inner optimizer's step; pass the closure on without calling it."""
        return self.inner.step() if closure is None else self.inner.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """Return the inner optimizer's state under "inner"; a subclass adds its own."""
        return {"inner": self.inner.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state."""
        self.inner.load_state_dict(state_dict["inner"])
