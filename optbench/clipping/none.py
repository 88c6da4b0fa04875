"""No clipping."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from optbench.clipping.base import Clip, Clipped
from optbench.contracts import Problem


class NoClip(Clip):
    """Gradients as they are, not even looked at."""

    def __init__(self, problem: Problem | None = None) -> None:
        self.problem = problem

    def apply(self, present: Sequence[Tensor], advance: bool) -> Clipped:
        return Clipped()
