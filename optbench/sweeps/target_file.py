"""The file of a target, which documents each of its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.config import read_yaml
from optbench.config.target import FOLDER
from optbench.store import storage_errors, write_atomically
from optbench.sweeps.study.cells import Cell

NOT_COMPARED = ("version", "set_on")  # keys that may differ between two files of the same target
COMMENTS = {  # in the order of the file
    "value": "{metric} on validation that counts as trained: median over the reruns of each one's best value",
    "metric": "on validation",
    "direction": "max: larger is better; min: smaller is better",
    "test_value": "{metric} on test at the end of a run: the worst of the reruns that reached the value above",
    "steps": "optimizer steps of a run: the budget that the target is for",
    "batch_size": "samples per optimizer step; a run with another batch size has no target",
    "version": "increases whenever the target is set again with another result",
    "data_sha256": "of the samples",
    "procedure": "how the target was set",
    "procedure.protocol": "conf/protocol/NAME.yaml",
    "procedure.optimizers": "tuned; the best trial of all was rerun",
    "procedure.boxes": "search boxes",
    "procedure.trials": "per optimizer",
    "procedure.seeds": "reruns of the best configuration, on seeds that tuning has not used",
    "procedure.tune_seeds": "runs per trial",
    "procedure.sampler": "of the points",
    "procedure.search_seed": "of the points",
    "procedure.budget": "share of the workload's budget",
    "procedure.threads": "CPU threads of a run",
    "procedure.overrides": "further overrides",
    "procedure_sha256": "of procedure, budget, data and workload",
    "workload_sha256": "of the settings of model and data; a run with other settings has no target",
    "best": "the configuration that was rerun",
    "best.optimizer": "with the best trial of all on validation",
    "best.values": "found by tuning",
    "reached": "reruns whose best value reached the target",
    "device": "of the reruns",
    "versions": "of the reruns",
    "set_on": "day of the first rerun",
}


def path_of(folder: Path, cell: Cell) -> Path:
    """Return the target file of a cell's workload in a configuration folder."""
    return folder / FOLDER / f"{cell.config.model.name}-{cell.config.data.name}.yaml"


def write(file: Path, tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Write a target's file if anything is new; return its new and its previous content."""
    before = read_yaml(file) if file.is_file() else None
    new = with_version(tree, before)
    if new != before:
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, lambda out: out.write(yaml_of(new, file.stem).encode()))
    return new, before


def with_version(tree: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the tree with the next version, or the previous content if nothing differs."""
    if before is None:
        return {**tree, "version": 1}
    same = all(tree.get(key) == before.get(key) for key in {*tree, *before} - {*NOT_COMPARED})
    return dict(before) if same else {**tree, "version": int(before.get("version", 0)) + 1}


def yaml_of(tree: Mapping[str, Any], name: str) -> str:
    """Return the tree as YAML, in the order of COMMENTS and with a comment on every key."""
    model = name.partition("-")[0]
    head = f"# Target of {name}, written by `optbench targets set {model}`: set it again rather than edit it."
    ordered = {key: tree[key] for key in COMMENTS if key in tree}
    return "\n".join([head, *lines_of(ordered, "", tree["metric"])]) + "\n"


def lines_of(tree: Mapping[str, Any], prefix: str, metric: str) -> list[str]:
    """Return the lines of a block mapping; an inner mapping without comments and mappings stands on one line."""
    lines: list[str] = []
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        name = f"{prefix}{key}"
        comment = COMMENTS.get(name, "").format(metric=metric)
        block = isinstance(value, Mapping) and is_block(name, value)
        text = f"{indent}{key}:" if block else f"{indent}{key}: {flow(value)}"
        lines.append(f"{text:<23}  # {comment}" if comment else text)
        lines += lines_of(value, f"{name}.", metric) if block else []
    return lines


def is_block(name: str, value: Mapping[str, object]) -> bool:
    """Return True if each key of a mapping needs a line of its own."""
    commented = any(known.startswith(f"{name}.") for known in COMMENTS)
    return commented or any(isinstance(inner, Mapping) for inner in value.values())


def flow(value: object) -> str:
    """Return a value in YAML's flow style. Floats get a point, since some readers take 1e-05 for text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float):
        text = repr(value)
        mantissa, exponent, power = text.partition("e")
        return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text
    plain = isinstance(value, str) and value.replace("_", "").isalpha() and value not in ("true", "false", "null")
    return str(value) if plain else json.dumps(value)
