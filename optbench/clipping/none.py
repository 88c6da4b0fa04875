"""No clipping."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from optbench.clipping.base import Clip, ClipReport
from optbench.contracts import Problem


class NoClip(Clip):
    """Leaves gradients as they are and does not measure them."""

    def __init__(self, problem: Problem | None = None) -> None:
        self.problem = problem

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        return ClipReport()
