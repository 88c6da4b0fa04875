"""How much of a batch fits into memory: measured on throwaway steps, then chosen.

    bytes(b of B at once) = parameters + state + gradients + batch * B + max(work, fixed + per_sample * b)

`work` is what a step takes over the smallest batch (the optimizer's temporaries), the line is what forward and backward
take beside the gradients, through two measured sizes. On CUDA the choice is tried and made smaller until it fits.
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
from optbench.training.memory import free_bytes, peak_extra_bytes

PROBE = 4  # samples at once in the smaller measured step; the larger has twice as many
SHARE_OF_FREE = 0.8  # of the memory that is free: allocators round up and fragment


@dataclass(frozen=True)
class Need:
    """Bytes of a training step."""

    parameters: int
    """Parameters and buffers of every player."""
    optimizer_state: int
    gradients: int
    work: float
    """What a step takes beside those over the smallest batch."""
    fixed: float
    """What forward and backward take beside those, whatever the batch."""
    per_sample: float
    """What the work on each sample takes: activations."""
    batch_per_sample: float
    """What each sample takes in the batch, at work or not."""

    @property
    def held(self) -> int:
        """Parameters, optimizer state and gradients."""
        return self.parameters + self.optimizer_state + self.gradients

    def bytes_at(self, batch_size: int, at_once: int | None = None) -> float:
        """Bytes of a step over a batch, `at_once` samples of it (all of them if not said) at a time."""
        at_once = batch_size if at_once is None else at_once
        work = max(self.work, self.fixed + self.per_sample * at_once)
        return self.held + self.batch_per_sample * batch_size + work

    def most_at_once(self, limit: float, batch_size: int) -> int:
        """The most samples of a batch that can be at work at once within `limit` bytes; 0 where not even one can."""
        room = limit - self.held - self.batch_per_sample * batch_size
        return max(0, math.floor((room - self.fixed) / max(self.per_sample, 1.0))) if room >= self.work else 0

    def largest_batch(self, limit: float) -> int:
        """The largest batch whose step, all at once, stays within `limit` bytes; 0 where there is none."""
        each = max(self.per_sample + self.batch_per_sample, 1.0)
        by_line = (limit - self.held - self.fixed) / each
        by_work = (limit - self.held - self.work) / max(self.batch_per_sample, 1.0)
        return max(0, math.floor(min(by_line, by_work)))


def limit_bytes(given: float | None, device: torch.device) -> float:
    """Bytes that training may take: as given, else a share of what is free on the device."""
    return given if given is not None else SHARE_OF_FREE * free_bytes(device)


def measured(make: Callable[[], Trainer]) -> Need:
    """What the steps of throwaway trainers need."""
    small, large = Probe(make(), PROBE), Probe(make(), 2 * PROBE)
    slopes = [(large.passes - small.passes) / PROBE, (large.steps - small.steps) / PROBE]
    slope = max(0.0, *slopes)
    fixed = max(0.0, small.passes - slope * PROBE)
    work = max(0, small.steps)
    return Need(small.parameters, small.optimizer_state, small.gradients, work, fixed, slope, small.batch / (2 * PROBE))


class Probe:
    """Bytes of two steps of a fresh trainer over batches in two pieces of `samples`: the second piece is worked on
    while the gradients of the first are there, the second step while the optimizer's state is."""

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
        # what is released and made anew in the passes is their gradients
        passes = peak_extra_bytes(lambda: trainer.dry_step(batch), trainer.device)
        self.passes = passes - self.gradients


def first_batch(trainer: Trainer, samples: int) -> Batch:
    """The first training batch of so many samples."""
    batches = trainer.data.train_batches(samples)
    try:
        return next(batches)
    finally:
        getattr(batches, "close", lambda: None)()


def micro_batch(make: Callable[[], Trainer], batch_size: int, given: float | None, device: torch.device) -> int:
    """The largest micro-batch that fits, as equal pieces of the batch.

    Raises ConfigError where a limit is given that not even one sample keeps, torch.OutOfMemoryError where there is
    no limit but memory's own."""
    limit = limit_bytes(given, device)
    need = measured(make)
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
    while device.type == "cuda" and pieces < batch_size and not fits(make, batch_size, pieces, limit):
        pieces += 1
    return math.ceil(batch_size / pieces)


def fits(make: Callable[[], Trainer], batch_size: int, pieces: int, limit: float) -> bool:
    """Whether a step over the batch in so many pieces stays within the limit when it is tried."""
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
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return False
