"""The target of a workload: conf/target/MODEL-DATA.yaml, written by `optbench targets set`.

A run without a target of its own takes the file's if it has the file's workload: the same settings of model and data,
the same batch size, and all weights trained from random ones. Its budget may differ: a ladder of budgets has one
target. `target=none`, or null in an override, a workload or a recipe, switches the target off.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.config.files import read_yaml
from optbench.config.overrides import Assignment
from optbench.config.runconfig import RunConfig, TargetSource, sha256_of
from optbench.config.trees import flatten, unflatten, without_null
from optbench.errors import ConfigError

FOLDER = "target"
OFF = "none"
WORKLOAD_GROUPS = ("model", "data")


def sets_target(values: Sequence[Assignment], layers: Sequence[tuple[Path, str]]) -> bool:
    """Return True if an override, or a file with root keys other than run.yaml (the first), sets a target."""
    files = [file for file, prefix in layers[1:] if not prefix]
    return any(a.key == "target" for a in values) or any("target" in read_yaml(file) for file in files)


def off_is_null(root: Mapping[str, object]) -> dict[str, object]:
    """Return the root keys with `target: none` replaced by null."""
    return {**root, "target": None if root["target"] == OFF else root["target"]}


def with_target(config: RunConfig, file: Path | None) -> RunConfig:
    """Return the configuration with the file's target if it has the file's workload, else without one.

    Without a file it is unchanged. Raises ConfigError for `stop_at_target` without a target."""
    if file is not None:
        from optbench.config.target_file import read_target

        target = read_target(file)
        from_scratch = config.init is None and config.freeze is None
        same = target.batch_size == config.batch_size and target.workload_sha256 == workload_sha256(config)
        fits = from_scratch and same
        source = TargetSource(target.procedure_sha256, target.data_sha256) if fits else None
        config = dataclasses.replace(config, target=target.value if fits else None, target_source=source)
    if config.stop_at_target and config.target is None:
        raise ConfigError(
            f"stop_at_target=true needs a target; model={config.model.name} data={config.data.name} has none",
            f"Set target=VALUE, or run: optbench targets set {config.model.name}",
        )
    return config


def is_workload_key(key: str) -> bool:
    """Return True for a dotted key of the model or the data."""
    return key.partition(".")[0] in WORKLOAD_GROUPS


def workload_sha256(config: RunConfig) -> str:
    """Return a hash of the names and settings of model and data, without those that change no number."""
    leaves = flatten({key: config.as_dict()[key] for key in WORKLOAD_GROUPS})
    return sha256_of(without_null(unflatten({k: v for k, v in leaves.items() if k not in config.not_identity})))
