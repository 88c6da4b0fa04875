"""The configuration of one run, and its identity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optbench.config.trees import Node, flatten, unflatten, without_null

GROUPS = ("optimizer", "model", "data", "schedule", "clip")
LONGEST_PREFIX = 200  # bytes of a run_id before seed and hash
SECOND = {"optimizer_d": "optimizer"}  # groups of a second player, and the groups whose options they have


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The option chosen for a group: its name, its settings and the `about` of its YAML file."""

    name: str
    settings: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def target(self) -> str:
        """Import path of the class or function that builds it."""
        return self.implementation["target"]

    @property
    def implementation(self) -> Mapping[str, Any]:
        """The `about` of the chosen implementation, with the file's specs; that of the file if there is only one."""
        if "implementations" not in self.about:
            return self.about
        return {"valid": self.about.get("valid", {}), **self.about["implementations"][self.settings["impl"]]}

    @property
    def label(self) -> str:
        """The name; with a word of `about.words` that the settings stand for, such as state=int8."""
        words = self.about.get("words", {})
        set_now = [word for word, values in words.items() if values.items() <= self.settings.items()]
        return f"{self.name}={set_now[0]}" if set_now else self.name


@dataclass(frozen=True)
class TargetSource:
    """The hashes in a target file: of the procedure that set the target, and of its data."""

    procedure_sha256: str
    data_sha256: str | None


@dataclass(frozen=True)
class TypedIn:
    """The folders that the overrides depend on; None for those they do not."""

    config_dir: str | None = None
    """The user's configuration folder, in full."""
    folder: str | None = None
    """The folder that paths in the overrides are relative to; None if there are none."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that fixes one run. conf/root/run.yaml documents the fields and their units."""

    optimizer: Choice
    model: Choice
    data: Choice
    schedule: Choice
    clip: Choice
    modifiers: tuple[Choice, ...] = ()
    """The active modifiers, the innermost first."""
    optimizer_d: Choice | None = None
    """The optimizer of a second player, if it has its own."""
    seed: int
    init: str | None = None
    init_content: str | None = None
    """The hash of the file that `init` names; None for the id of a run and a library's model."""
    freeze: tuple[str, ...] | None = None
    scale_lr: str | None
    scale_warmup: str | None
    scale_from: int | None
    steps: int
    batch_size: int
    micro_batch: int | str | None
    memory_limit: float | None
    precision: str
    compile: bool
    cuda_graph: bool | None
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
    """The source of a target from a file of conf/target; None for a user's own."""
    stop_at_target: bool
    max_seconds: float | None
    checkpoint_seconds: float
    keep_checkpoint: bool
    data_dir: str | None
    tracker: str
    wandb_project: str
    overrides: tuple[str, ...]
    typed_in: TypedIn = TypedIn()
    not_identity: tuple[str, ...]

    def as_dict(self) -> Node:
        """Return the resolved configuration as plain data: groups with their `name`, modifiers, root keys."""
        apart = (*GROUPS, *SECOND, "modifiers", "overrides", "typed_in", "not_identity", "target_source")
        apart = (*apart, "init_content")
        root = {key: value for key, value in vars(self).items() if key not in apart}
        groups = {group: {"name": choice.name, **choice.settings} for group, choice in self.choices.items()}
        return {**groups, **{modifier.name: dict(modifier.settings) for modifier in self.modifiers}, **root}

    def group(self, name: str) -> Choice:
        """Return the choice of a group."""
        return getattr(self, name)

    @property
    def choices(self) -> dict[str, Choice]:
        """The choice of every group, and those of a second player that has its own."""
        chosen: dict[str, Choice | None] = {group: getattr(self, group) for group in (*GROUPS, *SECOND)}
        return {group: choice for group, choice in chosen.items() if choice is not None}

    def optimizer_of(self, player: str) -> Choice:
        """Return the optimizer that trains a player, as `about.players` of the model assigns them."""
        return self.choices.get(self.model.about.get("players", {}).get(player, "optimizer"), self.optimizer)

    @property
    def task_name(self) -> str:
        """Short name of the task: "image_classification" for optbench.tasks.image_classification.ImageClassification.

        Unlike the path `model.task.target` it isn't hashed, and stays the same when the class moves."""
        path = str(self.model.settings["task"]["target"])
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.split(r"[.:]", path)[-1]).lower()

    @property
    def has_own_session(self) -> bool:
        """True for what another program trains: a training script is only asked for the budget."""
        return "session" in self.model.about

    @property
    def init_run(self) -> str | None:
        """The id of the run that `init` names, None if it names none."""
        from optbench.config.initial_weights import RUN, init_kind

        return self.init if self.init and init_kind(self.init) == RUN else None

    @property
    def identity(self) -> Node:
        """The keys that fix the numbers. A null key is absent, so that adding a key doesn't change ids.

        A target fixes numbers only for a run that stops at it. The content of the user's files replaces their path."""
        apart = self.not_identity if self.stop_at_target else (*self.not_identity, "target")
        content = self.content
        apart = {*apart, *content}
        leaves = flatten(self.as_dict())
        kept = {key: v for key, v in leaves.items() if v is not None and v != {} and key not in apart}
        return {**unflatten(kept), **without_null({"sources": self.sources, "content": content})}

    @property
    def sources(self) -> dict[str, str | None]:
        """The hash of the user's own code behind each choice and modifier, null for packaged code."""
        choices = {**self.choices, **{modifier.name: modifier for modifier in self.modifiers}}
        return {name: choice.about.get("source_sha256") for name, choice in choices.items()}

    @property
    def content(self) -> dict[str, str]:
        """The fingerprint of each file or folder that a setting names, by dotted key (config/content.py)."""
        found = {
            f"{group}.{key}": sha256
            for group, choice in self.choices.items()
            for key, sha256 in choice.about.get("content_sha256", {}).items()
        }
        return found if self.init_content is None else {**found, "init": self.init_content}

    @property
    def run_id(self) -> str:
        """A readable prefix, the seed, and a hash of the identity."""
        return f"{self._prefix}-s{self.seed}-{short_hash(self.identity)}"

    @property
    def trial_id(self) -> str:
        """The run_id without the seed: equal for runs that differ only by seed."""
        return f"{self._prefix}-{short_hash({k: v for k, v in self.identity.items() if k != 'seed'})}"

    @property
    def _prefix(self) -> str:
        optimizer = "_".join([self.optimizer.name, *(modifier.label for modifier in self.modifiers)])
        names = (self.model.name, self.data.name, optimizer)
        text = "-".join("".join(c if c.isalnum() or c in "_." else "_" for c in name) for name in names)
        return text.encode()[:LONGEST_PREFIX].decode(errors="ignore")  # a file system has 255 bytes for a name


def sha256_of(tree: object) -> str:
    """Return the SHA-256 of canonical JSON in hex digits."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def short_hash(tree: object) -> str:
    """Return the first ten hex digits of `sha256_of`."""
    return sha256_of(tree)[:10]
