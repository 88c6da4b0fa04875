"""A RunConfig as plain data, for a process that shall run exactly this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from optbench.config.runconfig import GROUPS, SECOND, Choice, RunConfig, TargetSource, TypedIn
from optbench.config.trees import Node


def to_plain(config: RunConfig) -> Node:
    """Return every field of a configuration, as JSON can hold it."""
    return asdict(config)


def from_plain(tree: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of `to_plain`, also after a way through JSON. Nothing is imported."""
    source = tree["target_source"]
    fields: dict[str, Any] = {
        **tree,
        **{key: Choice(**tree[key]) for key in (*GROUPS, *SECOND) if tree[key] is not None},
        "modifiers": tuple(Choice(**modifier) for modifier in tree["modifiers"]),
        "target_source": TargetSource(**source) if source else None,
        "typed_in": TypedIn(**tree["typed_in"]),
        "overrides": tuple(tree["overrides"]),
        "not_identity": tuple(tree["not_identity"]),
    }
    return RunConfig(**fields)
