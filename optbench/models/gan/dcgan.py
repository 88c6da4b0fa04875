"""DCGAN: strided convolutions with batch norm (Radford et al., 2016, arXiv:1511.06434), for images of any side."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from optbench.contracts import ImageData
from optbench.models.gan.sides import halvings, square_side
from optbench.models.roles import mark

SLOPE = 0.2  # of the discriminator's leaky ReLU below zero
INITIAL_STD = 0.02  # of the weights


class DcganGenerator(nn.Module):
    """Noise (B, noise) to images (B, channels, side, side) in (-1, 1).

    Transposed convolutions halve the channels and double the side."""

    def __init__(self, noise: int, channels: int, side: int, width: int, doublings: int) -> None:
        super().__init__()
        self.noise, self.base = noise, side >> doublings
        widths = [width << (doublings - 1 - stage) for stage in range(doublings)]
        self.start = nn.Linear(noise, widths[0] * self.base**2, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.end = nn.ConvTranspose2d(width, channels, 4, 2, 1)
        self.layers = nn.Sequential(*layers)
        mark(self.end, "head")
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z)
        return torch.tanh(self.end(self.layers(x.view(len(x), -1, self.base, self.base))))


class DcganDiscriminator(nn.Module):
    """Images (B, channels, side, side) to scores (B,): convolutions double the channels and halve the side."""

    def __init__(self, channels: int, side: int, width: int, stages: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for stage in range(1, stages):
            inputs, outputs = width << (stage - 1), width << stage
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
        self.layers, self.end = nn.Sequential(*layers), nn.Linear((width << (stages - 1)) * (side >> stages) ** 2, 1)
        mark(self.end, "head")
        mark(layers[0], "first")
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.layers(x).flatten(1))[:, 0]


def build(data: ImageData, *, width: int, noise: int) -> nn.ModuleDict:
    """Build both networks with `width` channels at half the image's side, twice as many at each further halving.

    The smallest side is 4 pixels, or 2 for images below 16."""
    channels, side = data.sample_shape[0], square_side(data)
    stages = halvings(side, 4 if side >= 16 else 2)
    return nn.ModuleDict(
        {
            "generator": DcganGenerator(noise, channels, side, width, stages),
            "discriminator": DcganDiscriminator(channels, side, width, stages),
        }
    )


def initialise(network: nn.Module) -> None:
    """Initialise weights as normal with mean 0, or 1 in batch norms, and biases as zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), INITIAL_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
