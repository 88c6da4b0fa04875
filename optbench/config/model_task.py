"""The task of a model: a file of conf/task by its name, or a task that the model's file defines itself.

task: masked_lm                            # the defaults of conf/task/masked_lm.yaml
task: {name: masked_lm, mask_share: 0.2}   # with values of this model's own
task: {target: ./loss.py:Loss, margin: 1}  # no file: an import path and its settings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optbench.config.trees import Node, assign, flatten, is_mapping
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

FACTS = ("lacks",)  # of a task: what it cannot provide to optimizers, as a model's


def named_task(model: Mapping[str, object]) -> object:
    """Return the name of the task in a model's node; None where the node defines a task, or has none."""
    task = model.get("task")
    return task.get("name") if is_mapping(task) and "target" not in task else None if is_mapping(task) else task


def own_values(model: Mapping[str, object]) -> Node:
    """Return the values that a model's node, or a workload, sets for the named task."""
    task = model.get("task")
    return {key: value for key, value in task.items() if key != "name"} if is_mapping(task) else {}


def with_task(model: Mapping[str, Any], task: Mapping[str, Any], values: Mapping[str, object], where: str) -> Node:
    """Return the model's node with this task in the place of its own, and `values` instead of the task's defaults.

    The task's facts join the model's. Raises ConfigError, beginning with `where`, for a value that the task lacks."""
    about: Node = task["about"]
    settings: Node = {key: value for key, value in task.items() if key != "about"}
    known = flatten(settings)
    for key, value in flatten(values).items():
        if key not in known:
            raise ConfigError(f"{where}: task.{shown(key)}: unknown key", suggest(key, list(known)))
        assign(settings, key, value)
    facts: Node = dict(model.get("about", {}))
    valid = {key: spec for key, spec in facts.get("valid", {}).items() if not key.startswith("task.")}
    valid |= {f"task.{key}": spec for key, spec in about.get("valid", {}).items()}
    joined = {fact: {**facts.get(fact, {}), **about[fact]} for fact in FACTS if fact in about}
    return {**model, "task": {"target": about["target"], **settings}, "about": {**facts, **joined, "valid": valid}}
