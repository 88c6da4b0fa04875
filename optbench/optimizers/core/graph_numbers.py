"""Hyperparameters where a CUDA graph reads them.

A rule's numbers change from step to step: schedules, corrections of a bias. A graph repeats its kernels with the same
arguments. So the numbers become tensors that stay in place, and the host fills them before each replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from optbench.optimizers.core.rule import ParamGroup

ALIGNED = 4  # elements from one number to the next: 16 bytes or more, as compiled code wants its arguments


class GraphNumbers:
    """The numbers of every parameter group as tensors of one element, by dtype and device."""

    def __init__(self) -> None:
        self.frozen = False
        """True while a graph is captured: the step was counted and its numbers were filled in before."""
        self._known: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, list[Tensor]]] = {}
        self._steps: dict[tuple[int, torch.dtype, torch.device], int] = {}

    def of(
        self, group: ParamGroup, t: int, given: Sequence[object], dtype: torch.dtype, device: torch.device
    ) -> tuple[object, ...]:
        """Return a group's hyperparameters with tensors for the numbers, whose values are those of step t."""
        key, numbers = (id(group), dtype, device), [x for x in given if isinstance(x, float)]
        if key not in self._known:
            rows = torch.empty(len(numbers), ALIGNED, dtype=dtype, device=device)
            self._known[key] = rows, [row[0].data for row in rows]
        rows, tensors = self._known[key]
        if self._steps.get(key) != t:
            if self.frozen:
                raise RuntimeError("tensors of one parameter group have taken different numbers of steps")
            values = torch.tensor(numbers, dtype=dtype)[:, None].repeat(1, ALIGNED)
            rows.copy_(values.pin_memory() if device.type == "cuda" else values, non_blocking=True)
            self._steps[key] = t
        left = iter(tensors)
        return tuple(next(left) if isinstance(x, float) else x for x in given)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Freeze the numbers within a block."""
        self.frozen = True
        try:
            yield
        finally:
            self.frozen = False

    def advance(self, optimizer: Any, numbers: Callable[[Tensor, ParamGroup, int], object]) -> None:
        """Count a step for every tensor that has state, and fill in its numbers."""
        for group in optimizer.param_groups:
            for theta in group["params"]:
                state = optimizer.state.get(theta)
                if state:
                    state["step"] += 1
                    numbers(theta, group, state["step"])
