"""The sizes of what a run would train: data, networks and optimizer are built as in a run; no step is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from optbench.config import RunConfig
from optbench.contracts import ROLES, Parameter
from optbench.models.freezing import frozen
from optbench.models.roles import trainable
from optbench.sessions.assemble import assemble
from optbench.sessions.initial_weights import initial_weights
from optbench.store import Document


def sizes_of(config: RunConfig, root: Path) -> Document:
    """Return samples by split, parameters of every player by role, and the optimizer's class and engine.

    Nothing is written. Raises the errors of the run itself; `root` holds the runs that `init` may name. A model with a
    session of its own, such as a training script, builds everything there: it has no sizes here."""
    if config.has_own_session:
        return {}
    objects = assemble(config, known_micro_batch=config.batch_size, weights=initial_weights(config, root))
    players = objects.trainer.players
    return {
        "samples": dict(objects.data.sizes),
        "parameters": {name: parameters_of(player.module) for name, player in players.items()},
        "optimizer": {name: type(player.optimizer).__name__ for name, player in players.items()},
        "engine": objects.engine,
        "device": str(objects.device),
        "optimizer_state_bytes": None,  # most optimizers make their state in the first step
    }


def parameters_of(module: nn.Module) -> Document:
    """Return the number of a network's parameters: all, trainable, trainable by role, and frozen by role."""
    return {
        "all": sum(parameter.numel() for parameter in module.parameters()),
        "trainable": sum(parameter.tensor.numel() for parameter in trainable(module)),
        **by_role(trainable(module)),
        "frozen": by_role(frozen(module)),
    }


def by_role(parameters: Iterable[Parameter]) -> dict[str, int]:
    """Return how many numbers the parameters of each role hold; roles without any are left out."""
    found = list(parameters)
    counts = {role: sum(p.tensor.numel() for p in found if p.role == role) for role in ROLES}
    return {role: count for role, count in counts.items() if count}


def count_lines(players: Mapping[str, Document]) -> list[str]:
    """Return a line for every player with its parameters: all, trainable and frozen, by role."""
    return [
        f"{name}: " * (len(players) > 1)
        + f"parameters: {counts['all']:,}, {counts['trainable']:,} trainable{in_brackets(counts)}"
        + (f", {sum(counts['frozen'].values()):,} frozen{in_brackets(counts['frozen'])}" if counts["frozen"] else "")
        for name, counts in players.items()
    ]


def in_brackets(counts: Document) -> str:
    """Return the counts of roles: " (1,280 head, 24,576 matrix)"."""
    return f" ({', '.join(f'{count:,} {role}' for role, count in counts.items() if role in ROLES)})"


def size_lines(sizes: Mapping[str, object]) -> list[str]:
    """Return the sizes as the lines that --dry-run prints."""
    if not sizes:
        return []
    tree: Document = dict(sizes)
    lines = ["  samples: " + ", ".join(f"{count:,} {split}" for split, count in tree["samples"].items())]
    lines += [f"  {line}" for line in count_lines(tree["parameters"])]
    kinds = ", ".join(dict.fromkeys(tree["optimizer"].values()))
    return [*lines, f"  optimizer: {kinds} ({tree['engine']}) on {tree['device']}; its state is made in the first step"]
