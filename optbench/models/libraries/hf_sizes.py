"""The configuration of a transformers' architecture: its fields, small sizes for a CPU, and what the data fills in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from optbench.contracts import DataSet
from optbench.errors import ConfigError
from optbench.models.facts import channels, length, outputs, pieces, shape, side
from optbench.models.vit import fitting_patch_size

SIZES = {"micro": {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}, "default": {}}
"""By transformers' common names. micro: ours, for a CPU, as model=gpt and model=bert; default: the class's own."""
KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")
INNER = ("intermediate_size", "ffn_dim", "d_ff", "hidden_dim", "ffn_hidden_size", "n_inner")
WIDTHS = ("word_embed_proj_dim", "embedding_size", "pooler_output_size")
FILLED = ("vocab_size", "image_size", "num_channels", "num_labels")
"""Fields with numbers of the data; a user may set them."""
UNUSED = ("use_cache", "pad_token_id", "bos_token_id", "eos_token_id")
"""Fields without an effect on training, apart from the pieces of text that they name."""


def fields_of(kind: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the fields of a configuration class by name, without those that all classes share."""
    from transformers import PreTrainedConfig

    shared = {*inspect.signature(PreTrainedConfig.__init__).parameters, *UNUSED}
    found = inspect.signature(kind.__init__).parameters
    return {name: p for name, p in found.items() if name not in shared and p.kind is not p.VAR_KEYWORD}


def configured(kind: type[Any], size: str, given: Mapping[str, Any], data: DataSet) -> dict[str, Any]:
    """Return the arguments of a configuration class: those given, those of a size, and those of the data."""
    known = fields_of(kind)
    renamed = getattr(kind, "attribute_map", {})
    chosen = {renamed.get(name, name): value for name, value in SIZES[size].items()}
    values = {name: value for name, value in chosen.items() if name in known} | dict(given)
    if chosen.keys() <= known.keys() and SIZES[size]:
        values |= derived(values, *chosen, known=known)
    return {**values, **filled(known, renamed, values, data, size)}


def derived(
    values: Mapping[str, Any], width: str, layers: str, heads: str, known: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """Return fields that follow from the width and the number of heads, unless they are given."""
    found = dict.fromkeys(INNER, 4 * values[width]) | dict.fromkeys(KEY_VALUE_HEADS, values[heads])
    found |= {"head_dim": values[width] // values[heads]} | dict.fromkeys(WIDTHS, values[width])
    return {name: value for name, value in found.items() if name in known and name not in values}


def filled(
    known: Mapping[str, inspect.Parameter],
    renamed: Mapping[str, str],
    values: Mapping[str, Any],
    data: DataSet,
    size: str,
) -> dict[str, Any]:
    """Return the fields that the data fills in."""
    numbers: dict[str, Any] = {"vocab_size": pieces(data), "num_labels": outputs(data), "num_channels": channels(data)}
    if "image_size" in known and len(shape(data) or ()) == 3:
        numbers |= {"image_size": side(data)}
        numbers |= {"patch_size": fitting_patch_size(side(data) or 1)} if SIZES[size] else {}
    numbers |= positions(known, renamed.get("max_position_embeddings", "max_position_embeddings"), values, data)
    vocabulary = getattr(data, "vocabulary", None)
    found = {name: n for name, n in numbers.items() if n is not None and name in {*known, "num_labels"}}
    if vocabulary is not None:
        found |= {"pad_token_id": vocabulary.pad, "bos_token_id": vocabulary.end, "eos_token_id": vocabulary.end}
    return {name: value for name, value in found.items() if name not in values}


def positions(
    known: Mapping[str, inspect.Parameter], name: str, values: Mapping[str, Any], data: DataSet
) -> dict[str, int]:
    """Return enough positions for a sample of text. Raises ConfigError if fewer are given."""
    needed = length(data)
    if name not in known or needed is None:
        return {}
    if values.get(name, needed) < needed:
        raise ConfigError(
            f"model.config.{name}={values[name]}: a sample has {needed} tokens", f"Set model.config.{name}={needed}"
        )
    default = known[name].default
    spare = 2  # some architectures leave the first positions out
    return {} if name in values else {name: max(default if isinstance(default, int) else 0, needed + spare)}
