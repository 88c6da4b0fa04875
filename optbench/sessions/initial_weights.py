"""The weights that `init` names: read once, and loaded into a run's networks before these are sharded and trained."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from optbench.config import RunConfig
from optbench.config.initial_weights import RUN, init_kind, library_of
from optbench.errors import ConfigError
from optbench.files import expanded
from optbench.models.initial_state import Loaded, lines_of, load_matching
from optbench.sessions.checkpoints import read_checkpoint
from optbench.sessions.weight_files import MODEL, Weights, players_of, read_weights
from optbench.store import Document, RunFolder, finished_run
from optbench.training.loop import hash_of

log = logging.getLogger(__name__)


@dataclass
class InitialWeights:
    """Weights by player, and what came of them when they were loaded."""

    source: str
    """What `init` names."""
    players: Weights = field(default_factory=dict)
    """Empty for a library's model, until the networks are known."""
    kind: str = ""
    """The weights of a checkpoint that were taken: evaluation or training; empty for others."""
    run_sha256: str | None = None
    """`weights_sha256` in the result of an earlier run."""
    sha256: str = ""
    loaded: dict[str, Loaded] = field(default_factory=dict)
    """What came of them, by player."""

    def load_into(self, networks: Mapping[str, nn.Module]) -> None:
        """Load each player's weights. Raises ConfigError where nothing fits, MissingError without a library's files."""
        if not self.players:
            self.players = pretrained(self.source, networks)
        self.sha256 = self.sha256 or hash_of(self.players)
        self.loaded = {
            player: load_matching(networks[player], state, self.source)
            for player, state in self.by_player(networks).items()
        }

    def by_player(self, networks: Mapping[str, nn.Module]) -> Weights:
        """Return the weights of each player of the task that has any. Raises ConfigError if none has."""
        names = list(networks)
        if len(names) == len(self.players) == 1:
            return {names[0]: next(iter(self.players.values()))}
        found = {name: self.players[name] for name in names if name in self.players}
        if not found and list(self.players) == [MODEL]:
            found = {name: part for name in names if (part := below(name, self.players[MODEL]))}
        if not found:
            ours, theirs = (
                f"the players {', '.join(of)}" if len(of) > 1 else "one network" for of in (names, list(self.players))
            )
            raise ConfigError(
                f"init={self.source}: holds the weights of {theirs}, but the model is {ours}",
                f"Give a file with a state dict for each player: {{{', '.join(f'{name}: ...' for name in names)}}}",
            )
        return found

    @property
    def facts(self) -> Document:
        """The part of run.json about them."""
        return {
            "source": self.source,
            "weights": self.kind or None,
            "sha256": self.sha256,
            "run_sha256": self.run_sha256,
            "players": {player: asdict(one) for player, one in self.loaded.items()},
        }

    def to_plain(self) -> Document:
        """Return plain data and tensors, as ranks send them; `InitialWeights(**plain)` are the same weights."""
        return {key: value for key, value in vars(self).items() if key != "loaded"}

    def log(self) -> None:
        """Log what was loaded, a line for each player."""
        for line in lines_of(self.loaded, self.source + (f" ({self.kind} weights)" if self.kind else "")):
            log.info(line)


def initial_weights(config: RunConfig, root: Path) -> InitialWeights | None:
    """Return the weights that `init` names, None without `init`. `root` is the results folder.

    Raises ConfigError for a file that holds none, and for a run that is not there."""
    if config.init is None:
        return None
    if library_of(config.init) is not None:
        return InitialWeights(config.init)
    if init_kind(config.init) == RUN:
        folder, result = finished_run(root, config.init)
        players, kind = weights_of_run(folder)
        return InitialWeights(config.init, players, kind, result.get("weights_sha256"))
    return InitialWeights(config.init, *read_weights(expanded(config.init), config.init))


def weights_of_run(folder: RunFolder) -> tuple[Weights, str]:
    """Return the weights in the last checkpoint of a run, and their kind. Raises ConfigError if it is damaged."""
    for _, state in folder.read_checkpoints(read_checkpoint):
        return players_of(state["trainer"])
    raise ConfigError(
        f"init={folder.path.name}: its checkpoint cannot be used", f"Its folder: {folder.checkpoints.folder}"
    )


def below(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with that of a player, without it."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def pretrained(init: str, networks: Mapping[str, nn.Module]) -> Weights:
    """Return the weights of a library's pretrained model, in the shapes of the task's network as far as they can be.

    Raises ConfigError for a task with several networks."""
    found = library_of(init)
    assert found is not None
    library, name = found
    if len(networks) > 1:
        raise ConfigError(f"init={init}: a pretrained model is one network, but the task trains {', '.join(networks)}")
    (network,) = networks.values()
    with torch.random.fork_rng():  # building it draws random numbers, and the run's are the same without `init`
        return {MODEL: importlib.import_module(library).pretrained(name, network)}


def require_same_weights(config: RunConfig, root: Path, run: Document) -> None:
    """Raise ConfigError if a finished run began with the weights of a run that has others by now."""
    stored = (run.get("init") or {}).get("run_sha256")
    if stored is None or config.init is None:
        return
    try:
        _, result = finished_run(root, config.init)
    except ConfigError:  # it is gone, and is not needed any more
        return
    if result.get("weights_sha256") != stored:
        raise other_weights(config, stored, str(result.get("weights_sha256")))


def other_weights(config: RunConfig, before: str, now: str) -> ConfigError:
    """Return the error for a run that began with other weights than those that `init` names now."""
    return ConfigError(
        f"{config.run_id} began with other weights of init={config.init} ({before[:12]}, now {now[:12]})",
        "Start over with --force (the earlier files are kept aside), or in another --study",
    )
