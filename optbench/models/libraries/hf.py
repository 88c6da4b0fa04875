"""Architectures of transformers, with new weights, as `model=hf/NAME`.

NAME is a model type (hf/llama, hf/bert, hf/vit), a folder with config.json (hf/./my_model), or the name of a model on
the Hugging Face hub whose config.json is in the local cache. Fields of the architecture's configuration are settings,
model.config.FIELD; numbers that depend on the data (pieces, classes, pixels, channels) are filled in.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from optbench.config.own import with_roles
from optbench.config.signature import is_setting, spec_of_annotation
from optbench.config.trees import Node, flatten, is_list, is_mapping
from optbench.contracts import DataSet
from optbench.errors import ConfigError, MissingError, first_line, suggest
from optbench.files import expanded
from optbench.models.attention import attention_of
from optbench.models.facts import outputs, pieces, shape
from optbench.models.gpt import with_linear_layers
from optbench.models.libraries.hf_sizes import FILLED, SIZES, configured, fields_of

AUTO, MASKED = "auto", "masked_lm"
HEADS = {
    "causal_lm": "CausalLM",
    MASKED: "MaskedLM",
    "image_classification": "ImageClassification",
    "sequence_classification": "SequenceClassification",
}
"""transformers' classes AutoModelFor... by the name of a head."""


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """Return a function that builds a model of a type, whose name has "_" for "-"."""
    for kind in types():
        if kind.replace("-", "_") == name:
            return functools.partial(build, kind)
    raise AttributeError(f"transformers has no model type '{name}'")


def types() -> list[str]:
    """Return the names of transformers' model types."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return list(CONFIG_MAPPING.keys())


def describe(name: str) -> Node:
    """Return the settings and facts of an architecture: a model type, a folder, or a model in the hub's cache.

    Raises ConfigError for an unknown name, MissingError for a model that is not in the cache."""
    stored = None if name in types() else stored_config(name)
    kind = stored.model_type if stored is not None else name
    config = type(stored) if stored is not None else config_class(kind)
    if config.sub_configs:
        parts = ", ".join(config.sub_configs)
        text = f"{kind}_text" if f"{kind}_text" in types() else "llama or hf/vit"
        hint = f"Choose a model type of one part, e.g. hf/{text}"
        raise ConfigError(f"hf/{name} is made of several networks ({parts}), which no head of one task fits", hint)
    offered = {head for head in HEADS if kind in head_names(head)}
    if not offered:
        raise ConfigError(f"hf/{name}: transformers has no {' or '.join(HEADS)} of the type {kind}")
    fields = {key: p for key, p in fields_of(config).items() if is_setting(p.default, None) or is_list(p.default)}
    values = {key: None if stored is None else stored_value(stored, key) for key in fields}
    about = {
        "name": name.strip("./").replace("/", "_") or kind,
        "target": f"{__name__}.{kind.replace('-', '_')}",
        "imports": [f"transformers.models.{types_module(kind)}"],
        "shardable": True,
        "valid": {
            "size": " | ".join(SIZES),
            "head": " | ".join([AUTO, *sorted(offered)]),
            **{f"config.{key}": allowed(p.annotation) for key, p in fields.items()},
        },
    }
    text = {"data": "pydocs"} if offered & {"causal_lm", MASKED} else {"reads": "images"}
    node = {"size": "micro" if stored is None else "default", "head": AUTO, "config": values}
    return with_roles({**node, "about": {**about, **text}})


def allowed(annotation: object) -> str:
    """Return the values of a field; a list may be null, as where its default is."""
    spec = spec_of_annotation(annotation)
    if spec is None or spec.startswith("list "):
        return spec or "any"
    return spec if "null" in spec else f"null | {spec}"


def types_module(kind: str) -> str:
    """Return the module of a model type below transformers.models."""
    from transformers.models.auto.configuration_auto import model_type_to_module_name

    return model_type_to_module_name(kind)


def config_class(kind: str) -> Any:
    """Return the configuration class of a model type."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[kind]


def head_names(head: str) -> Mapping[str, object]:
    """Return the classes with a head, by model type."""
    from transformers.models.auto import modeling_auto

    return getattr(modeling_auto, f"MODEL_FOR_{head.upper()}_MAPPING_NAMES")


def stored_config(name: str) -> Any:
    """Return the configuration in a folder, or in the hub's cache; the network is never asked."""
    from transformers import AutoConfig

    local = os.path.isdir(expanded(name))
    try:
        return AutoConfig.from_pretrained(str(expanded(name)), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        if local:
            raise ConfigError(f"hf/{name}: no usable config.json in this folder: {first_line(error)}") from None
        if name.startswith((".", "~", os.sep)):
            raise ConfigError(f"hf/{name}: no such folder") from None
        if "/" not in name:
            hint = suggest(name, types(), "model=hf/{}")
            raise ConfigError(f"hf/{name}: transformers has no model type '{name}'", hint[:200]) from None
        hint = f"Fetch it where there is a network: hf download {name} config.json"
        raise MissingError(f"hf/{name}: its config.json is not in the cache of the Hugging Face hub", hint) from None


def stored_value(config: Any, key: str) -> Any:
    """Return a field of a stored configuration, null for one that the data fills in or that is no plain value."""
    value = getattr(config, key, None)
    if key in FILLED or (is_mapping(value) and not all(map(is_plain, flatten(value).values()))):
        return None
    return value if is_mapping(value) or is_plain(value) else None


def is_plain(value: object) -> bool:
    """Return True for a value that a key of the configuration can hold."""
    return is_setting(list(value) if is_list(value) else value, None)


def build(kind: str, data: DataSet, task_name: str, *, size: str, head: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network from tokens (B, L) or images (B, C, H, W) to the logits of its head."""
    import transformers

    head = head_of(data, task_name) if head == AUTO else head
    if kind not in head_names(head):
        offered = " or ".join(name for name in HEADS if kind in head_names(name))
        raise ConfigError(f"hf/{kind} has no head for {head}: transformers gives it {offered}", ways(offered))
    given = {key: value for key, value in config.items() if value is not None and not all_null(value)}
    auto = getattr(transformers, f"AutoModelFor{HEADS[head]}")
    try:
        made = config_class(kind)(**configured(config_class(kind), size, given, data))
        made.use_cache = False
        made.is_decoder = head == "causal_lm"  # an encoder such as BERT looks ahead without it
        made._attn_implementation = attention_of(auto._model_mapping[type(made)])
        network = auto.from_config(made)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"hf/{kind} can't be built with these sizes: {first_line(error)}", "Set model.config.FIELD=..."
        ) from error
    return Network(with_linear_layers(network))


def all_null(value: object) -> bool:
    """Return True for a mapping without a value."""
    return is_mapping(value) and all(leaf is None for leaf in flatten(value).values())


def ways(offered: str) -> str:
    """Return the hint that names a task for a head."""
    return "Use task=masked_lm" if MASKED in offered else "Choose data or a task that fits one of them"


def head_of(data: DataSet, task_name: str) -> str:
    """Return the head that the task and the data ask for."""
    if task_name == MASKED:
        return MASKED
    if pieces(data) is not None and outputs(data) is None:
        return "causal_lm"
    return "image_classification" if len(shape(data) or ()) == 3 else "sequence_classification"


class Network(nn.Module):
    """A network of transformers that takes a tensor and returns the logits alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.takes = str(getattr(network, "main_input_name", "input_ids"))

    def forward(self, inputs: Tensor, positions: Tensor | None = None) -> Tensor:
        """Return logits of inputs; of tokens (B, L) at positions (B, K) alone, (B, K, pieces), where they are given."""
        logits = self.network(**{self.takes: inputs}).logits
        if positions is None:
            return logits
        return logits.gather(1, positions[:, :, None].expand(-1, -1, logits.shape[2]))
