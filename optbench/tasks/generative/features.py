"""What images are compared by: functions from uint8 images (B, C, H, W) to features (B, d) in float32.

The distance is called by the features: a Fréchet distance of Inception's is "fid", any other has its own name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.errors import ConfigError, MissingError

COARSE = 8  # pixels a side of the images whose pixels are compared, at most


@dataclass(frozen=True)
class Features:
    """A way to compare images."""

    metric: str
    """What the Fréchet distance of these features is called."""
    build: Callable[[str | None], Callable[[Tensor], Tensor]]
    """From `features_path` to the function; MissingError where weights or a package are absent."""
    shape: tuple[int | None, ...] = (None, None, None)
    """Of the images that it takes; None: any."""


def chosen(name: str, shape: tuple[int, ...]) -> Features:
    """The features of this name; "auto" is a classifier that comes with the package where one fits, else pixels.
    ConfigError where the images do not fit."""
    automatic = FEATURES["digits"] if fits(FEATURES["digits"], shape) else FEATURES["pixels"]
    found = FEATURES.get(name, automatic)
    if not fits(found, shape):
        wanted = "x".join("any" if side is None else str(side) for side in found.shape)
        raise ConfigError(
            f"model.task.features={name} is for images of {wanted}; this data has {'x'.join(map(str, shape))}",
            "Take model.task.features=auto",
        )
    return found


def fits(features: Features, shape: tuple[int, ...]) -> bool:
    """Whether images of this shape can be compared so."""
    return all(wanted in (None, side) for wanted, side in zip(features.shape, shape, strict=True))


def pixels(path: str | None) -> Callable[[Tensor], Tensor]:
    """The pixels themselves on the scale 0 to 1; means over areas where a side has more than 8."""

    def function(images: Tensor) -> Tensor:
        sides = [min(COARSE, side) for side in images.shape[2:]]
        return functional.adaptive_avg_pool2d(images.float() / 255, sides).flatten(1)

    return function


def digits(path: str | None) -> Callable[[Tensor], Tensor]:
    """The last hidden layer, 32 units, of the classifier that comes with the package."""
    from optbench.tasks.generative.digits_classifier import load

    return Frozen(load(), mean=(0.0,), std=(1.0,))


def cifar(path: str | None, *, layers: int, file: str) -> Callable[[Tensor], Tensor]:
    """The 64 pooled channels of a ResNet that was trained on CIFAR-10 (weights of Yerlan Idelbayev's
    pytorch_resnet_cifar10)."""
    from optbench.tasks.generative.cifar_resnet import build

    found = located(path, Path("resnet-cifar10-weights") / file)
    expected = file.removesuffix(".th").split("-")[-1]  # a file is named by the first digits of its hash
    if hashlib.sha256(found.read_bytes()).hexdigest()[: len(expected)] != expected:
        raise MissingError(f"{found}: this file is not {file}, by its SHA-256", "Fetch it again")
    state = torch.load(found, map_location="cpu", weights_only=True)["state_dict"]
    return Frozen(build(layers, state), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def inception(path: str | None) -> Callable[[Tensor], Tensor]:
    """The 2,048 pooled channels of torch-fidelity's port of the Inception of Heusel et al., 2017."""
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        raise MissingError(
            "model.task.features=inception needs the package torch-fidelity", "pip install torch-fidelity"
        ) from None
    found = located(path, Path("inception") / "weights-inception-2015-12-05-6726825d.pth")
    extractor = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(found)).eval().requires_grad_(False)

    def function(images: Tensor) -> Tensor:
        colour = images.expand(-1, 3, -1, -1)  # grey is shown to it as colour
        return extractor.to(images.device)(colour.contiguous())[0].float()

    return function


class Frozen:
    """A network at rest, with the normalisation that it was trained with."""

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


def located(given: str | None, usual: Path) -> Path:
    """The file of weights: `given`, or the usual one in the data folder. MissingError where it is not there."""
    root = Path(os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data").expanduser()
    found = Path(given).expanduser() if given else root / usual
    if found.is_dir():  # a data folder, or the one that holds the file
        found = found / usual if (found / usual).is_file() else found / usual.name
    if not found.is_file():
        raise MissingError(
            f"model.task.features: there are no weights at {found}",
            f"Put {usual.name} there, name it by model.task.features_path=, or take model.task.features=pixels",
        )
    return found


FEATURES: dict[str, Features] = {
    "pixels": Features("frechet_pixels", pixels),
    "digits": Features("frechet_digits", digits, (1, 8, 8)),
    "resnet20": Features("frechet_resnet20", partial(cifar, layers=20, file="resnet20-12fca82f.th"), (3, 32, 32)),
    "resnet56": Features("frechet_resnet56", partial(cifar, layers=56, file="resnet56-4bfd9763.th"), (3, 32, 32)),
    "inception": Features("fid", inception),
}
