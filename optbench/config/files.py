"""The YAML files: where they lie, what they offer, and their composition by Hydra."""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optbench.config.overrides import root_cause
from optbench.config.runconfig import GROUPS
from optbench.config.values import shown
from optbench.errors import ConfigError

_HYDRA_LOCK = threading.Lock()  # Hydra keeps its state in a process-wide singleton


def packaged_folder() -> Path:
    """The configuration shipped with optbench: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parent.parent
    beside = here.parent / "conf"
    return here / "conf" if (here / "conf").is_dir() else beside


def config_folders(config_dir: str | Path | None) -> tuple[Path, ...]:
    """Where configuration is looked for, the strongest first: the user's folder, then the packaged one."""
    given = config_dir or os.environ.get("OPTBENCH_CONFIG_DIR")
    if not given:
        return (packaged_folder(),)
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {shown(str(given))}: there is no such folder")
    return (folder, packaged_folder())


def options(folders: Sequence[Path], group: str) -> list[str]:
    """Names that a group offers, sorted."""
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def find_option(folders: Sequence[Path], group: str, name: str) -> Path | None:
    """The file of a group's choice, the user's before the packaged one."""
    if "\0" in name or len(name) > 200:  # no file has such a name
        return None
    files = (folder / group / f"{name}.yaml" for folder in folders)
    return next((file for file in files if file.is_file()), None) if name in options(folders, group) else None


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file's mapping, without Hydra's own keys. ConfigError names the file and the line that does not parse."""
    try:
        stamp = file.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    return copy.deepcopy(_parsed(file, stamp))


@functools.lru_cache(maxsize=256)
def _parsed(file: Path, stamp: int) -> dict[str, Any]:
    """What a file holds, parsed once for each of its versions (OmegaConf takes 5 ms)."""
    from omegaconf import OmegaConf

    try:
        config = OmegaConf.load(file)
        tree = OmegaConf.to_container(config, resolve=False)
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or root_cause(error)
        raise ConfigError(f"{file}{where}: {shown(problem)}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: must hold keys and values")
    return {str(key): value for key, value in tree.items() if key != "defaults"}


@functools.lru_cache
def _root_defaults(folder: Path) -> tuple[tuple[str, str], ...]:
    from omegaconf import OmegaConf

    entries = OmegaConf.to_container(OmegaConf.load(folder / "root" / "run.yaml"))["defaults"]
    return tuple((k, v) for entry in entries if isinstance(entry, dict) for k, v in entry.items() if k in GROUPS)


def root_defaults(folders: Sequence[Path]) -> dict[str, str]:
    """The choice of each group where nothing is said."""
    return dict(_root_defaults(folders[-1]))


def short_path(file: Path, folders: Sequence[Path]) -> str:
    """A packaged file as conf/GROUP/NAME.yaml, a user's file in full."""
    packaged = folders[-1]
    return f"conf/{file.relative_to(packaged)}" if file.is_relative_to(packaged) else str(file)


def compose(folders: tuple[Path, ...], choices: tuple[tuple[str, str], ...]) -> Any:
    """A fresh OmegaConf tree of these choices. Composed once for each set of files (Hydra takes 60 to 100 ms)."""
    files = [file for folder in folders[:-1] for file in folder.glob("*/*.yaml")]
    stamp = tuple(sorted((str(file), file.stat().st_mtime_ns) for file in files))
    return copy.deepcopy(_composed(folders, choices, stamp))


@functools.lru_cache(maxsize=256)
def _composed(folders: tuple[Path, ...], choices: tuple[tuple[str, str], ...], stamp: tuple) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    path = ",".join(f"'file://{folder}'" for folder in folders)
    overrides = [f"hydra.searchpath=[{path}]", *(f"{group}={name}" for group, name in choices)]
    with _HYDRA_LOCK:
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(folders[-1] / "root"), version_base="1.3"):
                config = hydra_compose("run", overrides=overrides)
        except Exception as error:
            for folder, (group, name) in ((f, c) for f in folders for c in choices):
                file = folder / group / f"{name}.yaml"
                if file.is_file():
                    read_yaml(file)  # names file and line where the YAML itself is wrong
            raise ConfigError(f"cannot compose the configuration: {shown(root_cause(error), 200)}") from error
    OmegaConf.set_struct(config, False)
    return config
