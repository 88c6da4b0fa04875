"""Pretrained models of transformers: `init=hf/NAME` in the cache of the Hugging Face hub, or `init=hf/./FOLDER`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from optbench.config.initial_weights import model_folder
from optbench.errors import ConfigError, MissingError, first_line
from optbench.models.gpt import with_linear_layers


def pretrained(name: str, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights that a model's files hold for a network of transformers inside `model`.

    Raises ConfigError for a model of another type, MissingError if its files are not at hand."""
    from transformers import AutoConfig, PreTrainedModel

    network = next((part for part in model.modules() if isinstance(part, PreTrainedModel)), None)
    if network is None:
        raise ConfigError(f"init=hf/{name}: the model is not one of transformers", f"Say model=hf/{name} too")
    folder = model_folder(name)
    place = str(folder or name)
    try:
        kind = AutoConfig.from_pretrained(place, local_files_only=True).model_type
        if kind != network.config.model_type:
            raise ConfigError(f"init=hf/{name}: is of the type {kind}, and the model of {network.config.model_type}")
        return loaded(type(network), place)
    except ConfigError:
        raise
    except Exception as error:  # transformers raises many kinds for missing and damaged files
        if folder is None and isinstance(error, OSError):
            raise MissingError(
                f"init=hf/{name}: its files are not in the cache of the Hugging Face hub",
                f"Fetch them where there is a network: hf download {name}",
            ) from None
        raise ConfigError(f"init=hf/{name}: cannot be loaded: {first_line(error)}") from None


def loaded(kind: Any, place: str) -> dict[str, Tensor]:
    """Return the tensors that the files hold, without those that the class adds with random values."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what is not in the files is told by the caller
    try:
        network, found = kind.from_pretrained(place, local_files_only=True, output_loading_info=True)
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    absent = {*found["missing_keys"], *(key[0] if isinstance(key, tuple) else key for key in found["mismatched_keys"])}
    state = with_linear_layers(network).state_dict()
    return {name: tensor for name, tensor in state.items() if name not in absent}
