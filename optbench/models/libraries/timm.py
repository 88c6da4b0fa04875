"""timm's models: every name of its registry as `model=timm/NAME`, for the images and classes of the data.

The arguments of the model's class are settings; null leaves one as the architecture has it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from optbench.config.own import with_roles
from optbench.config.schema import spec_of
from optbench.config.signature import is_setting, spec_of_parameter
from optbench.config.trees import Node
from optbench.contracts import DataSet
from optbench.errors import ConfigError, first_line, nearest
from optbench.models.facts import outputs, shape
from optbench.models.own import RESERVED
from optbench.models.own_roles import HEAD, mark_within

FILLED = ("num_classes", "in_chans", "img_size")
"""Arguments that the data fills in; a user may set the last one."""
PROBED = 2  # images in the forward pass that shows whether a model takes this size

timm_models: Any = importlib.import_module("timm.models")


def __getattr__(name: str) -> Callable[..., nn.Module]:
    """Return a function that builds the model `name` of timm's registry."""
    if not timm_models.is_model(name):
        raise AttributeError(f"timm has no model '{name}'")
    return functools.partial(build, name)


def describe(name: str) -> Node:
    """Return the settings and facts of a model of timm's registry. Raises ConfigError for an unknown name."""
    check_name(name)
    settings = {key: spec for key, spec in keywords(name).items() if key not in FILLED[:2]}
    about = {
        "name": name,
        "target": f"{__name__}.{name}",
        "imports": ["timm.models"],
        "reads": "images",
        "shardable": True,
        "valid": settings,
    }
    return with_roles({**dict.fromkeys(settings), "about": about})


def check_name(name: str) -> None:
    """Raise ConfigError with a suggestion unless timm's registry has the name."""
    if timm_models.is_model(name) and name.isidentifier():
        return
    architecture, _, tag = name.partition(".")
    if tag and timm_models.is_model(architecture):
        hint = f"model=timm/{architecture} builds it; init=timm/{name} loads the weights of '{tag}'"
        raise ConfigError(f"timm/{name} names weights, not a model", hint)
    known = timm_models.list_models()
    match = nearest(name, known)
    hint = f"Did you mean model=timm/{match}? " if match else ""
    raise ConfigError(f"timm/{name}: timm has no model '{name}'", f"{hint}timm.list_models() lists {len(known)}")


@functools.cache
def keywords(name: str) -> Mapping[str, str]:
    """Return the plain keyword arguments of a model's class, with the values that they take."""
    found: dict[str, str] = {}
    for kind in class_of(name).__mro__:
        if kind is nn.Module:
            break
        for key, parameter in inspect.signature(kind.__init__).parameters.items():
            default = parameter.default
            if key in found or key in RESERVED or default is parameter.empty or not is_setting(default, None):
                continue
            found[key] = allowed(parameter)
    return found


def allowed(parameter: inspect.Parameter) -> str:
    """Return the values that an argument takes, in the grammar of config/schema.py; null among them."""
    spec = spec_of_parameter(parameter) or spec_of(parameter.default)
    return spec if spec.startswith("list ") or "null" in spec else f"null | {spec}"


def class_of(name: str) -> type[nn.Module]:
    """Return the class of a model, without building it: timm's functions all end in `build_model_with_cfg`."""
    entry = timm_models.model_entrypoint(name)
    home: Any = sys.modules[entry.__module__]
    usual = home.build_model_with_cfg

    def catch(kind: type[nn.Module], *arguments: object, **settings: object) -> None:
        raise Found(kind)

    home.build_model_with_cfg = catch
    try:
        entry(pretrained=False)
    except Found as found:
        return found.kind
    finally:
        home.build_model_with_cfg = usual
    raise AssertionError(f"timm builds {name} in a way of its own")


class Found(Exception):
    """The class that timm would build."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.kind = kind


def build(name: str, data: DataSet, **settings: Any) -> nn.Module:
    """Build a network from images (B, C, H, W) to logits (B, classes). Raises ConfigError where they don't fit."""
    channels, height, width = image_shape(name, data)
    given = {key: value for key, value in settings.items() if value is not None}
    if "img_size" in keywords(name):
        given.setdefault("img_size", height if height == width else (height, width))
    try:
        model = timm_models.create_model(name, num_classes=outputs(data), in_chans=channels, **given)
        probe(model, channels, height, width)
    except Exception as error:
        raise ConfigError(
            f"timm/{name} does not take images of {channels}x{height}x{width} with {typed(given)}: {first_line(error)}",
            way_out(name),
        ) from error
    head = model.get_classifier()
    for part in head if isinstance(head, (tuple, list)) else [head]:
        mark_within(part, HEAD)
    return model


def image_shape(name: str, data: DataSet) -> tuple[int, int, int]:
    """Return channels, height and width of the data's images. Raises ConfigError for data without images or labels."""
    found = shape(data)
    if found is None or len(found) != 3:
        raise ConfigError(f"timm/{name} reads images (channels, height, width), and this data has {found or 'none'}")
    if outputs(data) is None:
        raise ConfigError(f"timm/{name} needs the number of classes, which this data does not have")
    return found[0], found[1], found[2]


def probe(model: nn.Module, channels: int, height: int, width: int) -> None:
    """Run a forward pass on two blank images, to see that they are large enough."""
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model(torch.zeros(PROBED, channels, height, width))
    model.train()


def typed(given: Mapping[str, object]) -> str:
    """Return the arguments of a model as text."""
    return ", ".join(f"{key}={value}" for key, value in given.items()) or "its own settings"


def way_out(name: str) -> str:
    """Return what helps a model that does not take images of a size."""
    patch = "a smaller patch (e.g. model.patch_size=2), or " if "patch_size" in keywords(name) else ""
    return f"Use {patch}larger images (e.g. data=fashion_mnist or data=cifar10), or another model"
