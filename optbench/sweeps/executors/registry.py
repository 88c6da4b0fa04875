"""The executors that there are: conf/executor/NAME.yaml, with its settings and the module that makes it.

Such a module has `make(asked)`, which returns an Executor; `slots(asked)`, how many runs it would do at a time, for a
dry run; and where there is something to start while the sweep is still being planned, `warm_up(configs)`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optbench.config import RunConfig, config_folders, find_option, options, read_yaml
from optbench.config.overrides import parse_one
from optbench.config.schema import conform
from optbench.errors import ConfigError, suggest
from optbench.sweeps.executors.base import Executor

GROUP, LOCAL = "executor", "local"


@dataclass(frozen=True)
class Asked:
    """What an executor is to run, and how."""

    configs: Sequence[RunConfig]
    study: Path
    """The study's folder."""
    jobs: int | None
    per_device: int
    settings: Mapping[str, Any]

    @property
    def threads(self) -> int:
        """CPU threads of a run, over all its processes where they compute on the CPU."""
        return max(c.threads * (1 if on_cuda(c) else ranks(c)) for c in self.configs)

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
        """CUDA devices of a run that asks for them; 0 where it takes what there is."""
        return max(ranks(c) if on_cuda(c) else 0 for c in self.configs)


def on_cuda(config: RunConfig) -> bool:
    """Whether a run asks for CUDA."""
    return config.device.startswith("cuda")


def ranks(config: RunConfig) -> int:
    """Processes that share a run's batches."""
    return config.devices or 1


@dataclass(frozen=True)
class Chosen:
    """An executor by its name, with its settings."""

    name: str
    module: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make(
        self,
        configs: Sequence[RunConfig],
        study: Path,
        jobs: int | None,
        per_device: int,
    ) -> Executor:
        """The executor itself. MissingError where what it needs is not there."""
        return self._code().make(Asked(configs, study, jobs, per_device, self.settings))

    def slots(self, configs: Sequence[RunConfig], study: Path, jobs: int | None, per_device: int) -> int:
        """How many runs it would do at a time."""
        return self._code().slots(Asked(configs, study, jobs, per_device, self.settings))

    def warm_up(self, configs: Sequence[RunConfig]) -> None:
        """Start what takes a while to start."""
        getattr(self._code(), "warm_up", lambda configs: None)(configs)

    def _code(self) -> Any:
        return importlib.import_module(self.module)


def choose(text: str, config_dir: Path | None = None) -> Chosen:
    """The executor that `--executor NAME[,KEY=VALUE]...` names. ConfigError for one that there is not."""
    name, *words = text.split(",")
    folders = config_folders(config_dir)
    file = find_option(folders, GROUP, name)
    if file is None:
        known = ", ".join(options(folders, GROUP))
        raise ConfigError(f"--executor {name}: there is no such executor", f"Known: {known}")
    tree = read_yaml(file)
    about = tree.pop("about")
    settings = {**tree, **dict(assigned(word, name, tree) for word in words)}
    return Chosen(name, about["target"], checked(settings, about.get("valid", {}), name))


def assigned(word: str, name: str, known: Mapping[str, Any]) -> tuple[str, Any]:
    """A setting from the command line."""
    if "=" not in word:
        raise ConfigError(f"--executor {name},{word}: expected KEY=VALUE", f"e.g. --executor {name},{example(known)}")
    one = parse_one(word)
    if one.key not in known:
        raise ConfigError(f"--executor {name}: there is no setting {one.key}", suggest(one.key, known))
    return one.key, one.value


def example(known: Mapping[str, Any]) -> str:
    """A setting as one would type it."""
    return next((f"{key}={value}" for key, value in known.items() if value is not None), "KEY=VALUE")


def checked(settings: Mapping[str, Any], valid: Mapping[str, str], name: str) -> dict[str, Any]:
    """Settings in their types."""
    found = {}
    for key, value in settings.items():
        try:
            found[key] = conform(value, valid.get(key), value)
        except ValueError as error:
            raise ConfigError(f"--executor {name}: {key}={value}: {error}") from None
    return found
