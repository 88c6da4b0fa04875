"""The order of training samples: an endless stream of epochs, each a permutation of all samples."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from optbench.counter_rng import mixed_seed
from optbench.data.sending import send


class SampleOrder:
    """The endless stream of sample indices. Each epoch's permutation comes from a CPU generator of its own."""

    def __init__(self, samples: int, seed: int, device: torch.device) -> None:
        self.samples, self.seed, self.device = samples, seed, device
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.long)

    def permutation(self, epoch: int) -> Tensor:
        """Return the order of one epoch, on the device."""
        if epoch != self._epoch:
            generator = Generator().manual_seed(mixed_seed(self.seed, epoch))
            drawn = torch.randperm(self.samples, generator=generator)
            self._permutation = send(drawn, self.device)
            self._epoch = epoch
        return self._permutation

    def indices(self, first: int, count: int) -> Tensor:
        """Return positions first .. first+count-1 of the stream."""
        epoch, offset = divmod(first, self.samples)
        parts = [self.permutation(epoch)[offset : offset + count]]
        while (missing := count - sum(map(len, parts))) > 0:
            epoch += 1
            parts.append(self.permutation(epoch)[:missing])
        return parts[0] if len(parts) == 1 else torch.cat(parts)
