"""What most tasks have in common: the parts of the Task protocol that they need not say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class BaseTask:
    """Scores that are means, nothing measured or shown besides, no hook, divergence where the loss is not finite or
    beyond `loss_bound`."""

    loss_bound = math.inf
    """The training loss above which a run has diverged."""

    def score(self, gathered: Mapping[str, Tensor]) -> dict[str, float]:
        """The means as they are."""
        return {name: float(value) for name, value in gathered.items()}

    def measures(self) -> dict[str, float]:
        """Nothing."""
        return {}

    def pictures(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def after_step(self, step: int) -> None:
        """Nothing to do."""

    def diverged(self, loss: float) -> str:
        """Not finite, or beyond the bound."""
        if not math.isfinite(loss):
            return f"the training loss is {loss}"
        return f"the training loss {loss:.3g} exceeds {self.loss_bound:.3g}" if loss > self.loss_bound else ""
