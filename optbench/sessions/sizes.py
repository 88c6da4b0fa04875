"""The sizes of what a run would train: data, networks and optimizer are built as in a run; no step is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from optbench.config import RunConfig
from optbench.contracts import ROLES
from optbench.models.roles import problem_of
from optbench.sessions.assemble import assemble
from optbench.sessions.initial_weights import initial_weights
from optbench.store import Document


def sizes_of(config: RunConfig, root: Path) -> Document:
    """Return samples by split, parameters of every player by role, and the optimizer's class and engine.

    Nothing is written. Raises the errors of the run itself; `root` holds the runs that `init` may name. A model with a
    session of its own, such as a training script, builds everything there: it has no sizes here."""
    if "session" in config.model.about:
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
    """Return the number of a network's parameters: all, trainable, and trainable by role."""
    problem = problem_of(module)
    by_role = {role: sum(p.tensor.numel() for p in problem.parameters if p.role == role) for role in ROLES}
    return {
        "all": sum(parameter.numel() for parameter in module.parameters()),
        "trainable": sum(by_role.values()),
        **{role: count for role, count in by_role.items() if count},
    }


def size_lines(sizes: Mapping[str, object]) -> list[str]:
    """Return the sizes as the lines that --dry-run prints."""
    if not sizes:
        return []
    tree: Document = dict(sizes)
    lines = ["  samples: " + ", ".join(f"{count:,} {split}" for split, count in tree["samples"].items())]
    for name, counts in tree["parameters"].items():
        roles = ", ".join(f"{count:,} {role}" for role, count in counts.items() if role in ROLES)
        who = f"{name}: " if len(tree["parameters"]) > 1 else ""
        lines.append(f"  {who}parameters: {counts['all']:,}, {counts['trainable']:,} trainable ({roles})")
    kinds = ", ".join(dict.fromkeys(tree["optimizer"].values()))
    return [*lines, f"  optimizer: {kinds} ({tree['engine']}) on {tree['device']}; its state is made in the first step"]
