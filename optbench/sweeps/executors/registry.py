"""The executors that `--executor` may name: conf/executor/NAME.yaml holds the settings and names a module.

Such a module has `make(request)`, which returns an Executor, and `slots(request)`, which returns how many runs it would
do at a time, for a dry run. It may have `warm_up(configs, jobs)`, called while the sweep is still being planned."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from optbench.config import RunConfig, config_folders, find_option, options, read_yaml
from optbench.config.about import check_about
from optbench.config.overrides import parse_one
from optbench.config.schema import conform
from optbench.errors import ConfigError, suggest
from optbench.sweeps.executors.base import Executor

GROUP, LOCAL = "executor", "local"
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class ExecutorRequest:
    """The runs that an executor is made for, and its settings."""

    configs: Sequence[RunConfig]
    study: Path
    """The study's folder."""
    jobs: int | None
    per_device: int
    settings: Settings
    pack: int = 1
    """Runs in one process."""

    @property
    def threads(self) -> int:
        """CPU threads of a run, over all its processes if they compute on the CPU."""
        return max(c.threads * (1 if is_on_cuda(c) else ranks(c)) for c in self.configs)

    @property
    def device(self) -> str:
        """The device that the runs ask for."""
        return self.configs[0].device

    @property
    def ranks(self) -> int:
        """Processes of a run."""
        return max(ranks(c) for c in self.configs)

    @property
    def cuda_devices(self) -> int:
        """CUDA devices of a run that asks for them; 0 if it takes what is available."""
        return max(ranks(c) if is_on_cuda(c) else 0 for c in self.configs)


def is_on_cuda(config: RunConfig) -> bool:
    """Return True if a run asks for CUDA."""
    return config.device.startswith("cuda")


def ranks(config: RunConfig) -> int:
    """Return the number of processes of a run."""
    return config.devices or 1


@dataclass(frozen=True)
class ExecutorChoice:
    """An executor's name, module and settings."""

    name: str
    module: str
    settings: Settings = field(default_factory=dict)
    file: Path | None = None

    def make(
        self, configs: Sequence[RunConfig], study: Path, jobs: int | None, per_device: int, pack: int = 1
    ) -> Executor:
        """Return the executor. Raises MissingError if what it needs is missing."""
        if pack > 1 and self.name != LOCAL:
            raise ConfigError(f"--pack {pack}: only the runs of this machine share processes", "Use --executor local")
        return self._load().make(ExecutorRequest(configs, study, jobs, per_device, self.settings, pack))

    def slots(self, configs: Sequence[RunConfig], study: Path, jobs: int | None, per_device: int) -> int:
        """Return how many runs it would do at a time."""
        return self._load().slots(ExecutorRequest(configs, study, jobs, per_device, self.settings))

    def warm_up(self, configs: Sequence[RunConfig], jobs: int | None = None) -> None:
        """Start what takes a while to start."""
        getattr(self._load(), "warm_up", lambda configs, jobs: None)(configs, jobs)

    def _load(self) -> ModuleType:
        return importlib.import_module(self.module)


def choose(text: str, config_dir: Path | None = None) -> ExecutorChoice:
    """Return the executor that `--executor NAME[,KEY=VALUE]...` names. Raises ConfigError for an unknown one."""
    name, *words = text.split(",")
    folders = config_folders(config_dir)
    file = find_option(folders, GROUP, name)
    if file is None:
        raise ConfigError(f"--executor {name}: unknown executor", suggest(name, options(folders, GROUP)))
    tree = read_yaml(file)
    check_about(tree, file)
    about = tree.pop("about")
    settings = {**tree, **dict(assigned(word, name, tree) for word in words)}
    return ExecutorChoice(name, about["target"], checked(settings, about.get("valid", {}), name), file)


def assigned(word: str, name: str, known: Settings) -> tuple[str, object]:
    """Return the key and value of a setting on the command line."""
    if "=" not in word:
        example = next((f"{key}={value}" for key, value in known.items() if value is not None), "KEY=VALUE")
        raise ConfigError(f"--executor {name},{word}: expected KEY=VALUE", f"e.g. --executor {name},{example}")
    one = parse_one(word)
    if one.key not in known:
        raise ConfigError(f"--executor {name}: unknown setting {one.key}", suggest(one.key, known))
    return one.key, one.value


def checked(settings: Settings, valid: Mapping[str, str], name: str) -> dict[str, object]:
    """Return the settings in their types. Raises ConfigError for a value that is not valid."""
    found: dict[str, object] = {}
    for key, value in settings.items():
        try:
            found[key] = conform(value, valid.get(key), value)
        except ValueError as error:
            raise ConfigError(f"--executor {name}: {key}={value}: {error}") from None
    return found
