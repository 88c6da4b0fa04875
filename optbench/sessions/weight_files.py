"""Files of weights: state dicts as programs save them, safetensors, checkpoints of optbench. No code in them is run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from optbench.distributed.sharded_checkpoint import load_whole
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.files import open_regular
from optbench.sessions.checkpoints import checked
from optbench.training.plan import State

MODEL = "model"  # the player of a file that names none
TRAINER = "trainer"  # of a checkpoint of optbench
EVALUATION = "evaluation"  # weights of a player in the last checkpoint of a run, if it has its own for evaluation
INNER = ("state_dict", "model_state_dict", "model", "module", "network")  # where programs put a state dict
Weights = Mapping[str, Mapping[str, Tensor]]
"""State dicts by player."""


def read_weights(path: Path, name: str) -> tuple[Weights, str]:
    """Return the weights in a file by player, and their kind; `name` is for messages.

    Raises ConfigError for a file that is damaged or holds no weights."""
    tree = read_tree(path, name)
    if isinstance(tree, dict) and TRAINER in tree:
        try:
            return players_of(checked(tree)[TRAINER])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"init={name}: is no checkpoint that can be used ({first_line(error)})") from None
    players = players_in(tree)
    if not players:
        raise ConfigError(
            f"init={name}: holds no tensors by name", "Save a state dict: torch.save(model.state_dict(), PATH)"
        )
    return players, ""


def read_tree(path: Path, name: str) -> Any:
    """Return the content of a file, on the CPU. Raises ConfigError if it cannot be read without running its code."""
    try:
        if path.is_dir():
            return load_whole(path)
        with open_regular(path) as stream, warnings.catch_warnings():
            if path.suffix == ".safetensors":
                return load_file(path)
            warnings.simplefilter("ignore")  # about forms of files that are refused anyway
            return torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"init={name}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # torch and safetensors raise many kinds for damaged files
        if is_out_of_memory(error):
            raise
        if "Unsupported global" in str(error) or "TorchScript" in str(error):
            raise ConfigError(
                f"init={name}: holds Python objects, and reading them would run their code",
                "Save the weights alone: torch.save(model.state_dict(), PATH)",
            ) from None
        reason = first_line(error).partition(". ")[0]  # what follows is advice to run the file's code
        raise ConfigError(f"init={name}: is no file of weights, or is damaged ({reason or 'it is empty'})") from None


def players_in(tree: object) -> Weights:
    """Return the state dicts by player in what a program has saved; empty if there are no tensors."""
    if not isinstance(tree, Mapping):
        return {}
    if tensors := tensors_in(tree):
        return {MODEL: tensors}
    for key in INNER:
        if tensors := tensors_in(tree.get(key)):
            return {MODEL: tensors}
    return {str(player): tensors for player, inner in tree.items() if (tensors := tensors_in(inner))}


def tensors_in(tree: object) -> dict[str, Tensor]:
    """Return the tensors of a mapping by name; empty for anything else."""
    if not isinstance(tree, Mapping):
        return {}
    return {str(name): value for name, value in tree.items() if isinstance(value, Tensor)}


def players_of(trainer: State) -> tuple[Weights, str]:
    """Return the weights of a trainer's state by player, and their kind: those for evaluation where it has any."""
    players: Mapping[str, State] = trainer["players"]
    kind = "evaluation" if any(EVALUATION in player for player in players.values()) else "training"
    return {name: player.get(EVALUATION, player["module"]) for name, player in players.items()}, kind
