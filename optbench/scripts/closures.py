"""Optimizers that evaluate the loss themselves, such as SAM and L-BFGS, in a script: `optimizer.step(closure)`."""

from __future__ import annotations

from typing import Any

from optbench.errors import ConfigError
from optbench.optimizers.core.rule import Closure, Loss
from optbench.optimizers.core.wrapper import Wrapper


class ClosureOptimizer(Wrapper):
    """An optimizer that cannot step without a closure; its gradient evaluations are counted."""

    def __init__(self, inner: Any, name: str) -> None:
        super().__init__(inner)
        self.name = name
        self.evaluations = 0
        """Calls of closures so far."""

    def step(self, closure: Closure | None = None) -> Loss:
        """Take a step. Raises ConfigError without a closure."""
        if closure is None:
            raise ConfigError(
                f"optimizer={self.name} evaluates the loss in its step: write optimizer.step(closure)",
                "closure() clears the gradients, computes the loss, calls loss.backward() and returns the loss",
            )

        def counted() -> Any:
            self.evaluations += 1
            return closure()

        return self.inner.step(counted)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the optimizer's state."""
        self.inner.load_state_dict(state_dict)
