"""The value that fixes a run, and its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optbench.config.schema import flatten, unflatten

GROUPS = ("optimizer", "model", "data", "schedule", "clip")
SECOND = {"optimizer_d": "optimizer"}  # choices that a second player may have, and the groups they are made from


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One group's choice: its name, its settings and the facts its YAML file states about it."""

    name: str
    settings: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Import path of what builds it."""
        return self.implementation["target"]

    @property
    def implementation(self) -> Mapping[str, Any]:
        """The facts of the chosen implementation; `about` itself where there is but one."""
        return self.about["implementations"][self.settings["impl"]] if "implementations" in self.about else self.about


@dataclass(frozen=True)
class TargetSource:
    """The setting of a target: what its file says of where it comes from."""

    procedure_sha256: str
    data_sha256: str | None
    """The data that it was set on."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that fixes one run. The units and meanings of the fields stand in conf/root/run.yaml."""

    optimizer: Choice
    model: Choice
    data: Choice
    schedule: Choice
    clip: Choice
    modifiers: tuple[Choice, ...] = ()
    """What is laid over the optimizer, from it outwards; only what is switched on."""
    optimizer_d: Choice | None = None
    """The optimizer of a second player where it has one of its own."""
    seed: int
    scale_lr: str | None
    scale_warmup: str | None
    scale_from: int | None
    steps: int
    batch_size: int
    micro_batch: int | str | None
    memory_limit: float | None
    precision: str
    compile: bool
    attention: str | None
    channels_last: bool | None
    device: str
    devices: int | None = None
    strategy: str | None = None
    batch_statistics: str | None = None
    threads: int
    deterministic: bool
    eval_every: int
    eval_batch_size: int
    eval_train_samples: int
    record_every: int
    target: float | None
    target_source: TargetSource | None = None
    """Where the target comes from, if it is that of the workload's file and not the user's own."""
    stop_at_target: bool
    max_seconds: float | None
    checkpoint_seconds: float
    keep_checkpoint: bool
    data_dir: str | None
    tracker: str
    wandb_project: str
    overrides: tuple[str, ...]
    not_identity: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The resolved configuration as plain data: each group with its `name` and each modifier, without the facts."""
        apart = (*GROUPS, *SECOND, "modifiers", "overrides", "not_identity", "target_source")
        root = {key: value for key, value in vars(self).items() if key not in apart}
        groups = {group: {"name": choice.name, **choice.settings} for group, choice in self.choices.items()}
        return {**groups, **{modifier.name: dict(modifier.settings) for modifier in self.modifiers}, **root}

    def group(self, name: str) -> Choice:
        """The choice of a group."""
        return getattr(self, name)

    @property
    def choices(self) -> dict[str, Choice]:
        """Every group's choice, and those of a second player that has its own."""
        chosen = {group: self.group(group) for group in (*GROUPS, *SECOND)}
        return {group: choice for group, choice in chosen.items() if choice is not None}

    def optimizer_of(self, player: str) -> Choice:
        """The optimizer that trains a player, as the model's file assigns them (`about.players`)."""
        return self.choices.get(self.model.about.get("players", {}).get(player, "optimizer"), self.optimizer)

    @property
    def identity(self) -> dict[str, Any]:
        """The keys that fix the numbers. A key that is null is absent, so that a later key keeps old ids.

        A target fixes numbers only where the run stops at it."""
        apart = self.not_identity if self.stop_at_target else (*self.not_identity, "target")
        kept = unflatten({key: v for key, v in flatten(self.as_dict()).items() if key not in apart})
        sources = {group: self.group(group).about.get("source_sha256") for group in self.choices}
        return without_null({**kept, "sources": sources})

    @property
    def run_id(self) -> str:
        """Readable prefix and hash of the identity."""
        return f"{self._prefix}-s{self.seed}-{short_hash(self.identity)}"

    @property
    def trial_id(self) -> str:
        """The same without the seed: equal for the runs that differ by nothing else."""
        return f"{self._prefix}-{short_hash({k: v for k, v in self.identity.items() if k != 'seed'})}"

    @property
    def _prefix(self) -> str:
        optimizer = "_".join([self.optimizer.name, *(modifier.name for modifier in self.modifiers)])
        names = (self.model.name, self.data.name, optimizer)
        return "-".join("".join(c if c.isalnum() or c in "_." else "_" for c in name) for name in names)


def without_null(tree: Any) -> Any:
    """The mapping without its null leaves and the mappings they leave empty."""
    if not isinstance(tree, Mapping):
        return tree
    kept = {key: without_null(value) for key, value in tree.items()}
    return {key: value for key, value in kept.items() if value is not None and value != {}}


def sha256_of(tree: Any) -> str:
    """The SHA-256 of canonical JSON in hex digits."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def short_hash(tree: Any) -> str:
    """Ten hex digits of it."""
    return sha256_of(tree)[:10]
