"""The target of a workload: conf/target/MODEL-DATA.yaml, as `optbench targets set` writes it.

A run of which nothing says a target has the file's, if it is of the workload that the file was set for: the same
settings of the model and of the data, the same batch size. Its budget may be another: a ladder of budgets has one
target. `target=none`, or null said by an override, a workload or a recipe, switches it off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.config.files import find_option, read_yaml
from optbench.config.overrides import Assignment
from optbench.config.runconfig import RunConfig, TargetSource, sha256_of, without_null
from optbench.config.schema import conform, flatten, unflatten
from optbench.errors import ConfigError

FOLDER = "target"
OFF = "none"
OF_WORKLOAD = ("model", "data")
USED = {"value": "(-inf, inf)", "batch_size": "int [1, inf)", "workload_sha256": "str", "procedure_sha256": "str"}


def target_file(folders: Sequence[Path], names: Mapping[str, str]) -> Path | None:
    """The file of the target of these choices, the user's before the packaged one."""
    return find_option(folders, FOLDER, f"{names['model']}-{names['data']}")


def says_target(values: Sequence[Assignment], layers: Sequence[tuple[Path, str]]) -> bool:
    """Whether an override, or a file whose keys stand at the root (but for run.yaml, the first), says a target."""
    files = [file for file, prefix in layers[1:] if not prefix]
    return any(a.key == "target" for a in values) or any("target" in read_yaml(file) for file in files)


def off_is_null(root: Mapping[str, Any]) -> dict[str, Any]:
    """Root keys with `target: none` as the null that it means."""
    return {**root, "target": None if root["target"] == OFF else root["target"]}


def with_target(config: RunConfig, file: Path | None) -> RunConfig:
    """The configuration with the target of this file if it holds for it, else with none; without a file, as it is.

    ConfigError where it is to stop at a target and has none."""
    if file is not None:
        tree = stated(file)
        holds = tree["batch_size"] == config.batch_size and tree["workload_sha256"] == workload_sha256(config)
        source = TargetSource(tree["procedure_sha256"], tree.get("data_sha256")) if holds else None
        config = dataclasses.replace(config, target=tree["value"] if holds else None, target_source=source)
    if config.stop_at_target and config.target is None:
        raise ConfigError(
            f"stop_at_target=true needs a target, and {config.model.name} on {config.data.name} has none",
            f"Say target=VALUE, or: optbench targets set {config.model.name}",
        )
    return config


def stated(file: Path) -> dict[str, Any]:
    """What a target's file says; ConfigError where it lacks what a run needs of it."""
    tree = read_yaml(file)
    for key, valid in USED.items():
        if key not in tree:
            hint = "`optbench targets set MODEL` writes it whole; for a value of your own, say target=VALUE"
            raise ConfigError(f"{file}: {key} is missing", hint)
        try:
            tree[key] = conform(tree[key], valid, None)
        except ValueError as error:
            raise ConfigError(f"{file}: {key}={tree[key]}: {error}") from None
    return tree


def of_workload(key: str) -> bool:
    """Whether a dotted key is a setting of the model or of the data."""
    return key.partition(".")[0] in OF_WORKLOAD


def workload_sha256(config: RunConfig) -> str:
    """A hash of the model's and the data's names and settings, without those that change no number."""
    leaves = flatten({key: config.as_dict()[key] for key in OF_WORKLOAD})
    return sha256_of(without_null(unflatten({k: v for k, v in leaves.items() if k not in config.not_identity})))
