"""A player that must not change during the other player's turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


class FreezablePlayer:
    """A network that can be frozen: its parameters get no gradient, and its running statistics do not change."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._NormBase))
        self.norms = [norm for norm in norms if norm.track_running_stats]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the network for the duration of a block; what the run itself freezes stays so after it."""
        trained = [parameter for parameter in self.parameters if parameter.requires_grad]
        self._set(trained, False)
        try:
            yield
        finally:
            self._set(trained, True)

    def _set(self, parameters: list[nn.Parameter], trainable: bool) -> None:
        for parameter in parameters:
            parameter.requires_grad_(trainable)
        for norm in self.norms:
            norm.track_running_stats = trainable
