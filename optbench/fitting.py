"""How much of a batch fits into memory: measured on throwaway steps, then chosen.

The bytes of a training step are taken as a straight line over the micro-batch, held + per_sample * b, through two
measured sizes; what is held (parameters, gradients, optimizer state) does not depend on b, activations are proportional
to it. On CUDA the choice is tried and made smaller until it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from optbench.errors import ConfigError, is_out_of_memory
from optbench.memory import free_bytes, peak_extra_bytes
from optbench.optimizers.meter import state_bytes, tensor_bytes
from optbench.train import Trainer

PROBE = 4  # samples of the smaller measured step; the larger has twice as many
SHARE_OF_FREE = 0.8  # of the memory that is free: allocators round up and fragment


@dataclass(frozen=True)
class Need:
    """Bytes of a training step."""

    parameters: int
    """Parameters and buffers of every player."""
    optimizer_state: int
    held: float
    """Those, the gradients and what else does not depend on the number of samples."""
    per_sample: float
    """What the work on each sample takes: activations."""
    batch_per_sample: float
    """What each sample takes in the batch, at work or not."""

    def bytes_at(self, batch_size: int, at_once: int | None = None) -> float:
        """Bytes of a step over a batch, `at_once` samples of it (all of them if not said) at a time."""
        at_once = batch_size if at_once is None else at_once
        return self.held + self.per_sample * at_once + self.batch_per_sample * batch_size

    def most_at_once(self, limit: float, batch_size: int) -> int:
        """The most samples of a batch that can be at work at once within `limit` bytes; 0 where not even one can."""
        room = limit - self.held - self.batch_per_sample * batch_size
        return max(0, math.floor(room / max(self.per_sample, 1.0)))

    def largest_batch(self, limit: float) -> int:
        """The largest batch whose step, all at once, stays within `limit` bytes; 0 where there is none."""
        return max(0, math.floor((limit - self.held) / max(self.per_sample + self.batch_per_sample, 1.0)))


def limit_bytes(given: float | None, device: torch.device) -> float:
    """Bytes that training may take: as given, else a share of what is free on the device."""
    return given if given is not None else SHARE_OF_FREE * free_bytes(device)


def measured(make: Callable[[], Trainer], samples: int = 2 * PROBE) -> Need:
    """What the steps of a throwaway trainer need, from two batch sizes up to `samples`."""
    small = max(1, min(PROBE, samples // 2))
    trainer = make()
    (first, batch, parameters, state), (second, *_) = (step_bytes(trainer, size) for size in (small, 2 * small))
    slope = max(0.0, (second - first) / small)
    return Need(parameters, state, max(0.0, first - slope * small), slope, batch / small)


def step_bytes(trainer: Trainer, samples: int) -> tuple[int, int, int, int]:
    """Bytes at the peak of the second step over a batch (the first makes the optimizer's state), the batch left out;
    of the batch; of parameters and buffers; of optimizer state."""
    batches = trainer.data.train_batches(samples)
    batch = next(batches)
    getattr(batches, "close", lambda: None)()
    for module in trainer.modules:
        module.train()
    trainer.take_turns(batch, recording=False)
    players = trainer.players.values()
    parameters = sum(tensor_bytes(player.module.state_dict().values()) for player in players)
    state = sum(sum(state_bytes(player.optimizer).values()) for player in players)
    for player in players:  # the second step makes its gradients anew
        for parameter in player.parameters:
            parameter.grad = None
    extra = peak_extra_bytes(lambda: trainer.take_turns(batch, recording=False), trainer.device)
    return parameters + state + extra, tensor_bytes(batch.values()), parameters, state


def micro_batch(make: Callable[[], Trainer], batch_size: int, given: float | None, device: torch.device) -> int:
    """The largest micro-batch that fits, as equal pieces of the batch.

    Raises ConfigError where a limit is given that not even one sample keeps, torch.OutOfMemoryError where there is
    no limit but memory's own."""
    limit = limit_bytes(given, device)
    need = measured(make, batch_size)
    most = min(batch_size, need.most_at_once(limit, batch_size))
    if most < 1 and given is not None:
        raise ConfigError(
            f"memory_limit={given:.4g}: a batch of {batch_size} takes {need.bytes_at(batch_size, 1):.4g} bytes even "
            "one sample at a time",
            "Raise it, or take a smaller model or another optimizer",
        )
    if most < 1:
        least = need.bytes_at(batch_size, 1)
        raise torch.OutOfMemoryError(f"out of memory: one sample at a time takes {least:.4g} bytes of {limit:.4g}")
    pieces = math.ceil(batch_size / most)
    while device.type == "cuda" and pieces < batch_size and not fits(make, math.ceil(batch_size / pieces), limit):
        pieces += 1
    return math.ceil(batch_size / pieces)


def fits(make: Callable[[], Trainer], samples: int, limit: float) -> bool:
    """Whether a step of so many samples stays within the limit when it is tried."""
    try:
        return step_bytes(make(), samples)[0] <= limit
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return False
