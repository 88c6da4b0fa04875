"""Which runs can be sharded, and in which layout: what the YAML files of a run's parts say under `about.shardable`.

An optimizer, modifier or clip says "elements" (it treats every element by itself, or asks for norms alone), "tensors"
(it needs whole tensors, one at a time), or in words why it cannot be sharded; a model says true, or why not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from optbench.config import Choice, RunConfig
from optbench.errors import ConfigError

ELEMENTS, TENSORS = "elements", "tensors"


def layout_of(config: RunConfig, optimizer: Choice) -> str:
    """The layout that serves an optimizer, the modifiers around it and the clip."""
    declared = [choice.about.get("shardable") for choice in (optimizer, *config.modifiers, config.clip)]
    return TENSORS if TENSORS in declared else ELEMENTS


def check_shardable(config: RunConfig) -> None:
    """ConfigError with the reason where a run cannot be sharded."""
    for key, reason in reasons(config):
        raise ConfigError(f"strategy=fsdp: {key} cannot be sharded: {reason}", "Take strategy=ddp")


def reasons(config: RunConfig) -> Iterator[tuple[str, str]]:
    """What stands in the way of sharding, and why."""
    parts = [("optimizer", config.optimizer), ("optimizer_d", config.optimizer_d), ("clip", config.clip)]
    parts += [("modifier", modifier) for modifier in config.modifiers]
    for group, choice in parts:
        if choice is not None and choice.about.get("shardable") not in (ELEMENTS, TENSORS):
            yield f"{group}={choice.name}", said(choice)
    if config.model.about.get("shardable") is not True:
        yield f"model={config.model.name}", said(config.model)
    settings: dict[str, tuple[Any, str]] = {
        "precision=fp16": (config.precision == "fp16", "its loss scale is not agreed on; precision=bf16 needs none"),
        "compile=true": (config.compile, "its compiled code does not gather parts"),
        "channels_last=true": (config.channels_last, "its parts are rows in the order of memory"),
        "micro_batch=auto": (config.micro_batch == "auto", "it is found on one device; say a number"),
    }
    yield from ((key, reason) for key, (asked, reason) in settings.items() if asked)


def said(choice: Choice) -> str:
    """A file's reason."""
    reason = choice.about.get("shardable")
    return reason if isinstance(reason, str) else "its file does not say that it can (about.shardable)"
