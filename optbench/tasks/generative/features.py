"""Features that compare images: functions from uint8 images (B, C, H, W) to features (B, d) in float32.

The features name the distance: the Fréchet distance of Inception's features is "fid"; others have their own names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.errors import ConfigError, MissingError
from optbench.files import expanded

COARSE = 8  # images are averaged to at most this many pixels a side before pixels are compared

FeatureFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Features:
    """A way to compare images."""

    metric: str
    """Name of the Fréchet distance of these features."""
    build: Callable[[str | None], FeatureFunction]
    """Builds the function from `features_path`. Raises MissingError if weights or a package are absent."""
    shape: tuple[int | None, ...] = (None, None, None)
    """Shape of the images; None: any size."""


def features_for(name: str, shape: tuple[int, ...]) -> Features:
    """Return the features of this name; "auto" is the package's own classifier if it fits the images, else pixels.

    Raises ConfigError if the images do not fit."""
    automatic = FEATURES["digits"] if fits(FEATURES["digits"], shape) else FEATURES["pixels"]
    found = FEATURES.get(name, automatic)
    if not fits(found, shape):
        wanted = "x".join("any" if side is None else str(side) for side in found.shape)
        raise ConfigError(
            f"model.task.features={name} needs images of {wanted}, but this data has {'x'.join(map(str, shape))}",
            "Set model.task.features=auto",
        )
    return found


def remembered(function: FeatureFunction) -> FeatureFunction:
    """Return the function with its results kept: a large classifier takes longer than a small generator."""
    known: dict[str, Tensor] = {}

    def features(images: Tensor) -> Tensor:
        key = content_sha256(images)
        if key not in known:
            known[key] = function(images)
        return known[key]

    return features


def content_sha256(tensor: Tensor) -> str:
    """Hash a tensor's values."""
    return hashlib.sha256(tensor.cpu().contiguous().numpy().tobytes()).hexdigest()


def fits(features: Features, shape: tuple[int, ...]) -> bool:
    """Return True if the features accept images of this shape."""
    return all(wanted in (None, side) for wanted, side in zip(features.shape, shape, strict=True))


def pixels(path: str | None) -> FeatureFunction:
    """Compare pixels on the scale 0 to 1, averaged over areas if a side has more than 8."""

    def function(images: Tensor) -> Tensor:
        sides = (min(COARSE, images.shape[2]), min(COARSE, images.shape[3]))
        return functional.adaptive_avg_pool2d(images.float() / 255, sides).flatten(1)

    return function


def digits(path: str | None) -> FeatureFunction:
    """Use the last hidden layer, 32 units, of the package's own classifier."""
    from optbench.tasks.generative.digits_classifier import load

    return FrozenNetwork(load(), mean=(0.0,), std=(1.0,))


def cifar(path: str | None, *, layers: int, file: str) -> FeatureFunction:
    """Use the 64 pooled channels of a ResNet trained on CIFAR-10.

    Its weights are those of Yerlan Idelbayev's pytorch_resnet_cifar10."""
    from optbench.tasks.generative.cifar_resnet import build

    found = weights_file(path, Path("resnet-cifar10-weights") / file)
    expected = file.removesuffix(".th").split("-")[-1]  # file names end with the first digits of their hash
    if hashlib.sha256(found.read_bytes()).hexdigest()[: len(expected)] != expected:
        raise MissingError(f"{found} is not {file}: its SHA-256 differs", "Download it again")
    state = torch.load(found, map_location="cpu", weights_only=True)["state_dict"]
    return FrozenNetwork(build(layers, state), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def inception(path: str | None) -> FeatureFunction:
    """Use the 2,048 pooled channels of torch-fidelity's port of the Inception network of Heusel et al., 2017."""
    try:
        library = import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError:
        raise MissingError(
            "model.task.features=inception needs the package torch-fidelity", "pip install torch-fidelity"
        ) from None
    found = weights_file(path, Path("inception") / "weights-inception-2015-12-05-6726825d.pth")
    extractor = library.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(found))
    extractor.eval().requires_grad_(False)

    def function(images: Tensor) -> Tensor:
        color = images.expand(-1, 3, -1, -1)  # grey images get three equal channels
        return extractor.to(images.device)(color.contiguous())[0].float()

    return function


class FrozenNetwork:
    """A network in evaluation mode, with the normalisation of its training."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))

    def __call__(self, images: Tensor) -> Tensor:
        device = images.device
        if self.mean.device != device:
            self.mean, self.std = self.mean.to(device), self.std.to(device)
            self.network.to(device)
        with torch.autocast(device.type, enabled=False):
            return self.network((images.float() / 255 - self.mean) / self.std)


def weights_file(given: str | None, usual: Path) -> Path:
    """Return the file of weights: `given`, or the usual one in the data folder. Raises MissingError if it is absent."""
    root = expanded(os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data")
    found = expanded(given) if given else root / usual
    if found.is_dir():  # a data folder, or the folder of the file
        found = found / usual if (found / usual).is_file() else found / usual.name
    if not found.is_file():
        raise MissingError(
            f"model.task.features: no weights at {found}",
            f"Put {usual.name} there, set model.task.features_path, or set model.task.features=pixels",
        )
    return found


FEATURES: dict[str, Features] = {
    "pixels": Features("frechet_pixels", pixels),
    "digits": Features("frechet_digits", digits, (1, 8, 8)),
    "resnet20": Features("frechet_resnet20", partial(cifar, layers=20, file="resnet20-12fca82f.th"), (3, 32, 32)),
    "resnet56": Features("frechet_resnet56", partial(cifar, layers=56, file="resnet56-4bfd9763.th"), (3, 32, 32)),
    "inception": Features("fid", inception),
}
