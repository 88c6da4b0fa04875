"""timm's pretrained models: `init=timm/resnet18` or, for certain weights, `init=timm/resnet18.a1_in1k`."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from optbench.errors import ConfigError, MissingError, first_line, suggest

FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository of the hub, the one that timm prefers first


def pretrained(name: str, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a pretrained model, which timm fits to the model's channels and its size of images.

    Raises ConfigError for an unknown name, MissingError if the file is not in a cache."""
    import timm

    if not timm.is_model(name):
        hint = suggest(name, timm.list_models(f"*{name[:4]}*")[:200], "init=timm/{}")[:300]
        raise ConfigError(f"init=timm/{name}: timm has no model '{name}'", hint)
    settings: dict[str, Any] = {"in_chans": channels} if (channels := channels_of(model)) else {}
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    settings |= {"img_size": size} if size is not None else {}
    overlay = {"file": cached_file(name)}
    try:
        network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **settings)
    except Exception as error:  # timm raises many kinds for damaged files and for sizes that it can't fit
        raise ConfigError(f"init=timm/{name}: {overlay['file']} cannot be loaded: {first_line(error)}") from error
    return network.state_dict()


def channels_of(model: nn.Module) -> int | None:
    """Return the channels that the first convolution of a network reads; None without one."""
    return next((part.in_channels for part in model.modules() if isinstance(part, nn.Conv2d)), None)


def cached_file(name: str) -> str:
    """Return the file of a model's weights in the cache of the hub or of torch. Raises MissingError without one."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    facts = timm.get_pretrained_cfg(name)
    if facts is None or not (facts.hf_hub_id or facts.url):
        raise ConfigError(f"init=timm/{name}: timm has no pretrained weights of it")
    if facts.hf_hub_id:
        for file in (facts.hf_hub_filename,) if facts.hf_hub_filename else FILES:
            found = try_to_load_from_cache(facts.hf_hub_id, file)
            if isinstance(found, str):
                return found
    if facts.url:
        old = os.path.join(torch.hub.get_dir(), "checkpoints", str(facts.url).rpartition("/")[2])
        if os.path.isfile(old):
            return old
    command = f"python -c \"import timm; timm.create_model('{name}', pretrained=True)\""
    raise MissingError(
        f"init=timm/{name}: its weights are not in a cache", f"Fetch them where there is a network: {command}"
    )
