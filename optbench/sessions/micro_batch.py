"""The largest micro-batch that fits into memory, from measurements on throwaway steps.

    bytes(b of B samples at once) = parameters + state + gradients + batch * B + max(work, fixed + per_sample * b)

`work` is the memory of a step on the smallest batch (the optimizer's temporaries). The line through two measured sizes
is the memory of forward and backward in addition to gradients. On CUDA the choice is tried, and reduced until it fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from optbench.contracts import Batch
from optbench.errors import ConfigError, is_out_of_memory
from optbench.optimizers.core.state_bytes import state_bytes, tensor_bytes
from optbench.training.loop import Trainer
from optbench.training.memory import free_bytes, peak_extra_bytes, release_cache

PROBE = 4  # micro-batch of the smaller measured step; the larger has twice as many samples
SHARE_OF_FREE = 0.8  # of free memory, because allocators round up and fragment


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a training step."""

    parameters: int
    """Parameters and buffers of every player."""
    optimizer_state: int
    gradients: int
    work: float
    """A step on the smallest batch, in addition to the above."""
    fixed: float
    """Forward and backward, in addition to the above, for any batch size."""
    per_sample: float
    """Activations of each sample in the micro-batch."""
    batch_per_sample: float
    """Each sample of the batch itself."""

    @property
    def held(self) -> int:
        """Bytes of parameters, optimizer state and gradients."""
        return self.parameters + self.optimizer_state + self.gradients

    def bytes_at(self, batch_size: int, at_once: int | None = None) -> float:
        """Return the bytes of a step on a batch with micro-batches of `at_once` samples (default: the whole batch)."""
        at_once = batch_size if at_once is None else at_once
        work = max(self.work, self.fixed + self.per_sample * at_once)
        return self.held + self.batch_per_sample * batch_size + work

    def largest_micro_batch(self, limit: float, batch_size: int) -> int:
        """Return the largest micro-batch within `limit` bytes; 0 if not even one sample fits."""
        room = limit - self.held - self.batch_per_sample * batch_size
        return max(0, math.floor((room - self.fixed) / max(self.per_sample, 1.0))) if room >= self.work else 0

    def largest_batch(self, limit: float) -> int:
        """Return the largest batch whose step without micro-batches stays within `limit` bytes; 0 if there is none."""
        each = max(self.per_sample + self.batch_per_sample, 1.0)
        by_line = (limit - self.held - self.fixed) / each
        by_work = (limit - self.held - self.work) / max(self.batch_per_sample, 1.0)
        return max(0, math.floor(min(by_line, by_work)))


def limit_bytes(given: float | None, device: torch.device) -> float:
    """Return the bytes that training may use: as given, else a share of the free memory of the device."""
    return given if given is not None else SHARE_OF_FREE * free_bytes(device)


def measure_need(make: Callable[[], Trainer]) -> MemoryNeed:
    """Measure the memory that the steps of throwaway trainers need."""
    small, large = StepProbe(make(), PROBE), StepProbe(make(), 2 * PROBE)
    slopes = [(large.passes - small.passes) / PROBE, (large.steps - small.steps) / PROBE]
    slope = max(0.0, *slopes)
    fixed = max(0.0, small.passes - slope * PROBE)
    work = max(0, small.steps)
    batch = small.batch / (2 * PROBE)
    return MemoryNeed(small.parameters, small.optimizer_state, small.gradients, work, fixed, slope, batch)


class StepProbe:
    """Bytes of two steps of a fresh trainer, on a batch of two micro-batches of `samples`.

    The second micro-batch needs memory while there are gradients, the second step while there is optimizer state."""

    def __init__(self, trainer: Trainer, samples: int) -> None:
        batch = first_batch(trainer, 2 * samples)
        players = trainer.players.values()
        for player in players:
            player.micro_batch = samples
            player.module.train()
        taken = peak_extra_bytes(lambda: [trainer.take_turns(batch, recording=False) for _ in range(2)], trainer.device)
        parameters = [p for player in players for p in player.parameters]
        self.batch = tensor_bytes(batch.values())
        self.parameters = sum(tensor_bytes(player.module.state_dict().values()) for player in players)
        self.gradients = tensor_bytes(p.grad for p in parameters if p.grad is not None)
        self.optimizer_state = sum(sum(state_bytes(player.optimizer).values()) for player in players)
        self.steps = taken - self.optimizer_state - self.gradients
        for parameter in parameters:
            parameter.grad = None
        # the passes release and allocate gradients again
        passes = peak_extra_bytes(lambda: trainer.dry_step(batch), trainer.device)
        self.passes = passes - self.gradients


def first_batch(trainer: Trainer, samples: int) -> Batch:
    """Return the first training batch of `samples` samples."""
    batches = trainer.data.train_batches(samples)
    try:
        return next(batches)
    finally:
        getattr(batches, "close", lambda: None)()


def largest_micro_batch(make: Callable[[], Trainer], batch_size: int, given: float | None, device: torch.device) -> int:
    """Return the largest micro-batch that fits and divides the batch into nearly equal pieces.

    If not even one sample fits, raises ConfigError if a limit is given, else torch.OutOfMemoryError."""
    limit = limit_bytes(given, device)
    need = measure_need(make)
    most = min(batch_size, need.largest_micro_batch(limit, batch_size))
    if most < 1:
        least = f"{need.bytes_at(batch_size, 1):.4g} bytes"
        if given is None:
            raise torch.OutOfMemoryError(f"out of memory: micro-batches of one sample need {least} of {limit:.4g}")
        raise ConfigError(
            f"memory_limit={given:.4g}: a batch of {batch_size} needs {least} even with micro-batches of one sample",
            "Raise the limit, or use a smaller model or another optimizer",
        )
    pieces = math.ceil(batch_size / most)
    release_cache(device)
    while device.type == "cuda" and pieces < batch_size and not fits(make, batch_size, pieces, limit):
        pieces += 1
        release_cache(device)  # here, where no error holds the trainer that did not fit
    release_cache(device)  # the run would count what fitting keeps as its own
    return math.ceil(batch_size / pieces)


def fits(make: Callable[[], Trainer], batch_size: int, pieces: int, limit: float) -> bool:
    """Try steps on the batch in `pieces` micro-batches, and return True if they stay within the limit."""
    try:
        trainer = make()
        batch = first_batch(trainer, batch_size)
        for player in trainer.players.values():
            player.micro_batch = math.ceil(batch_size / pieces)
            player.module.train()
        held = sum(tensor_bytes(player.module.state_dict().values()) for player in trainer.players.values())
        steps = peak_extra_bytes(lambda: [trainer.take_turns(batch, recording=False) for _ in range(2)], trainer.device)
        return held + tensor_bytes(batch.values()) + steps <= limit
    except Exception as error:
        if is_single_value(error):
            return True  # the run is refused later, with a reason
        if not is_out_of_memory(error):
            raise
        return False


def is_single_value(error: Exception) -> bool:
    """Return True if a batch norm refused a batch with one value per channel."""
    return isinstance(error, ValueError) and "more than 1 value per channel" in str(error)
