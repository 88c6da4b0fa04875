"""Root keys that follow from others: the budget in steps, the evaluation interval, the micro-batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from optbench.config.overrides import Assignment
from optbench.config.trackers import check_tracker
from optbench.config.trees import Node
from optbench.errors import ConfigError


def derivation(tree: Mapping[str, object], key: str) -> str:
    """Return how `derive` computes the value of a root key, or "" for one that it leaves unchanged."""
    if key == "steps" and tree["samples"] is not None:
        return "derived: samples / batch_size"
    if key == "eval_every" and tree["eval_every"] is None:
        return "derived: steps / 10"
    return ""


def derive(root: Node, values: Sequence[Assignment]) -> Node:
    """Return the root keys with the derived ones filled in. Raises ConfigError for keys that contradict each other."""
    root = dict(root)
    samples = root.pop("samples")
    if samples is not None and any(a.key == "steps" for a in values):
        raise ConfigError("steps and samples are both given", "Give the budget once: steps=N or samples=N")
    if samples is not None:
        root["steps"] = math.ceil(samples / root["batch_size"])
    root["eval_every"] = root["eval_every"] or max(1, math.ceil(root["steps"] / 10))
    root["init"] = root["init"] or None
    root["freeze"] = tuple(sorted(set(root["freeze"] or ()))) or None
    micro = root["micro_batch"]
    if isinstance(micro, int) and micro > root["batch_size"]:
        raise ConfigError(f"micro_batch={micro} is larger than batch_size={root['batch_size']}")
    root["micro_batch"] = None if micro == root["batch_size"] else micro
    if (root["scale_lr"] or root["scale_warmup"]) and root["scale_from"] is None:
        raise ConfigError("scale_from is missing", "Give the batch size that the learning rate is for: scale_from=256")
    check_tracker(root["tracker"])
    return root
