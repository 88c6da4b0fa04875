"""The state of an optimizer with the optimizers inside it (SAM's kind), for a checkpoint.

Such a class often forgets the inner optimizer in its state dict, and torch's `load_state_dict` gives it new parameter
groups that the inner one does not share any more. A resumed run would take other steps, in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from optbench.optimizers.core.interface import Optimizer
from optbench.optimizers.core.state_bytes import tensors_in

INNER = "optbench_inner"
"""The key of what a class's own state dict leaves out: the state dicts of its inner optimizers, by attribute."""


def full_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the optimizer's state dict, with those of inner optimizers whose tensors it does not hold."""
    state, inner = optimizer.state_dict(), inner_optimizers(optimizer)
    held = {id(tensor) for tensor in tensors_in(state, set())} if inner else set()
    dicts = {name: one.state_dict() for name, one in inner.items()}
    left_out = {
        name: one for name, one in dicts.items() if any(id(tensor) not in held for tensor in tensors_in(one, set()))
    }
    return {**state, INNER: left_out} if left_out else state


def load_full_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restore what `full_state` returned; inner optimizers that shared the parameter groups share them again."""
    inner = inner_optimizers(optimizer)
    shared = [one for one in inner.values() if one.param_groups is optimizer.param_groups]
    optimizer.load_state_dict({key: value for key, value in state.items() if key != INNER})
    for name, one in state.get(INNER, {}).items():
        inner[name].load_state_dict(one)
    for one in shared:
        if one.param_groups is not optimizer.param_groups:
            one.param_groups = optimizer.param_groups


def inner_optimizers(optimizer: Optimizer) -> dict[str, torch.optim.Optimizer]:
    """Return the optimizers among the attributes of an optimizer, by name."""
    return {name: value for name, value in vars(optimizer).items() if isinstance(value, torch.optim.Optimizer)}
