"""Batch norm in training needs two values per channel: a run that would give it fewer is refused before it begins.

On maps of more than one position, one sample is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sessions.micro_batch import first_batch, is_single_value
from optbench.training.loop import Trainer
from optbench.training.seeding import preserve_state


class SingleValue(Exception):
    """A batch norm got one value per channel."""


def require_batch_statistics(config: RunConfig, trainer: Trainer, micro_batch: int | None, ranks: int) -> None:
    """Raise ConfigError if a piece of the batch has one sample, of which a batch norm cannot take statistics."""
    together = config.batch_statistics == "synchronised"
    sharded = any(player.shards is not None for player in trainer.players.values())

    def least(batch_size: int, size: int | None) -> int:
        return least_samples(batch_size, size, ranks, together, sharded)

    if least(config.batch_size, micro_batch) > 1:
        return
    norm = failing_norm(trainer)
    if norm is None:
        return
    larger = [
        n
        for n in range((micro_batch or config.batch_size) + 1, config.batch_size + 1)
        if least(config.batch_size, n) > 1
    ]
    batches = range(config.batch_size + 1, config.batch_size + 4 * ranks)
    more = [n for n in batches if least(n, micro_batch) > 1]
    ways = [f"micro_batch={n}" for n in larger[:1]] + [f"batch_size={n}" for n in more[:1]]
    pieces = f" in micro-batches of at most {micro_batch}" if micro_batch else ""
    spread = f" on {ranks} ranks" if ranks > 1 else ""
    raise ConfigError(
        f"batch_size={config.batch_size}{pieces}{spread} gives {norm} of model={config.model.name} a single value per "
        "channel, but batch norm needs two or more",
        f"Use {', '.join([*ways, 'or a model without batch norm'])}",
    )


def least_samples(batch_size: int, micro_batch: int | None, ranks: int, together: bool, sharded: bool) -> int:
    """Return the least number of samples in one forward pass.

    `together`: statistics are over all ranks. Ranks that wait for each other in a pass have equally many pieces."""
    shares = [batch_size // ranks + (rank < batch_size % ranks) for rank in range(ranks)]
    counts = [-(-share // (micro_batch or batch_size)) for share in shares]
    if together or sharded:
        counts = [max(counts)] * ranks
    least = [share // max(1, count) for share, count in zip(shares, counts, strict=True)]
    return sum(least) if together else min(least)


def failing_norm(trainer: Trainer) -> str | None:
    """Return the name and kind of a batch norm that cannot train on one sample; None if there is none."""
    norms = [
        (f"{name} ({type(norm).__name__})", norm)
        for module in trainer.modules
        for name, norm in module.named_modules()
        if isinstance(norm, _BatchNorm)
    ]
    if not norms:
        return None
    hooks = [norm.register_forward_pre_hook(refuse_single_value(name)) for name, norm in norms]
    try:
        with preserve_state(trainer.modules, trainer.device):
            for module in trainer.modules:
                module.train()
            for turn in trainer.task.turns(first_batch(trainer, 1), 0):
                turn.loss(turn.batch)
    except SingleValue as found:
        return str(found)
    except Exception as error:  # whatever else is wrong with the model shows when it trains
        return "a batch norm" if is_single_value(error) else None
    finally:
        for hook in hooks:
            hook.remove()
    return None


def refuse_single_value(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """Return a hook that raises SingleValue where a norm would take statistics of one value per channel."""

    def hook(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        values = inputs[0]
        if norm.training and isinstance(values, Tensor) and values.numel() == values.shape[1]:
            raise SingleValue(name)

    return hook
