"""The layouts in which a run can be sharded, as its YAML files declare under `about.shardable`.

An optimizer, modifier or clip declares "elements" (it treats each element separately, or needs only norms), "tensors"
(it needs whole tensors, one at a time), or the reason why it cannot be sharded. A model declares true, or the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from optbench.config import Choice, RunConfig
from optbench.errors import ConfigError

ELEMENTS, TENSORS = "elements", "tensors"


def layout_of(config: RunConfig, optimizer: Choice) -> str:
    """Return the layout that suits an optimizer, the modifiers around it and the clip."""
    declared = [choice.about.get("shardable") for choice in (optimizer, *config.modifiers, config.clip)]
    return TENSORS if TENSORS in declared else ELEMENTS


def check_shardable(config: RunConfig) -> None:
    """Raise ConfigError with the reason if a run cannot be sharded."""
    for key, reason in sharding_obstacles(config):
        raise ConfigError(f"strategy=fsdp: {key} cannot be sharded: {reason}", "Use strategy=ddp")


def sharding_obstacles(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield every setting that prevents sharding, with the reason."""
    parts = [("optimizer", config.optimizer), ("optimizer_d", config.optimizer_d), ("clip", config.clip)]
    parts += [("modifier", modifier) for modifier in config.modifiers]
    for group, choice in parts:
        if choice is not None and choice.about.get("shardable") not in (ELEMENTS, TENSORS):
            yield f"{group}={choice.name}", declared_reason(choice)
    if config.model.about.get("shardable") is not True:
        yield f"model={config.model.name}", declared_reason(config.model)
    settings = {
        "precision=fp16": (config.precision == "fp16", "ranks may choose different loss scales; use precision=bf16"),
        "compile=true": (config.compile, "compiled code does not gather shards"),
        "channels_last=true": (config.channels_last, "shards are rows in memory order"),
        "micro_batch=auto": (config.micro_batch == "auto", "it is measured on one device; give a number"),
    }
    yield from ((key, reason) for key, (active, reason) in settings.items() if active)


def declared_reason(choice: Choice) -> str:
    """Return the reason that a file declares."""
    reason = choice.about.get("shardable")
    return reason if isinstance(reason, str) else "its file does not declare it shardable (about.shardable)"
