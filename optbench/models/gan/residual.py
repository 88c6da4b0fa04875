"""Residual generators and discriminators for images (Gulrajani et al., 2017; Miyato et al., 2018, table 4).

At 32 pixels a side these are the papers' forms; for other sides the number of doublings depends on the image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from optbench.models.gan.sides import halvings
from optbench.models.roles import mark, marked_role

COARSEST = 8  # pixels a side at which a discriminator stops halving
FLAT_BLOCKS = 2  # blocks of a discriminator at that side


class UpBlock(nn.Module):
    """Doubles the side: norm, ReLU, doubling, convolution, norm, ReLU, convolution around a doubled shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(doubled(functional.relu(self.norm1(x))))
        return self.conv2(functional.relu(self.norm2(y))) + doubled(self.shortcut(x))


class ResidualGenerator(nn.Module):
    """Noise (B, noise) to images (B, channels, side, side) in (-1, 1)."""

    def __init__(self, noise: int, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.noise, self.width, doublings = noise, width, halvings(side, 4)
        self.base = side >> doublings
        self.start = nn.Linear(noise, width * self.base**2)
        self.blocks = nn.Sequential(*(UpBlock(width, width) for _ in range(doublings)))
        self.norm = nn.BatchNorm2d(width)
        self.end = nn.Conv2d(width, channels, 3, 1, 1)
        mark(self.end, "head")
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        x = self.blocks(self.start(z).view(-1, self.width, self.base, self.base))
        return torch.tanh(self.end(functional.relu(self.norm(x))))


class DownBlock(nn.Module):
    """Two convolutions around a shortcut, then the mean over 2x2 pixels if `halve`.

    Unless `first`, a ReLU precedes the first convolution. The shortcut has a convolution if the shape changes."""

    def __init__(self, inputs: int, outputs: int, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(functional.relu(self.conv1(x if self.first else functional.relu(x))))
        if not self.halve:
            return y + self.shortcut(x)
        return functional.avg_pool2d(y, 2) + self.shortcut(functional.avg_pool2d(x, 2))


class ResidualDiscriminator(nn.Module):
    """Images (B, channels, side, side) to scores (B,), from sums or means over the pixels of the last block."""

    def __init__(self, channels: int, side: int, width: int, *, sums: bool, spectral: bool) -> None:
        super().__init__()
        self.sums = sums
        halving = max(1, halvings(side, COARSEST))
        blocks = [DownBlock(channels, width, True, first=True)]
        blocks += [DownBlock(width, width, number < halving) for number in range(1, halving + FLAT_BLOCKS)]
        self.blocks, self.end = nn.Sequential(*blocks), nn.Linear(width, 1)
        mark(self.end, "head")
        for layer in (blocks[0].conv1, blocks[0].shortcut):
            mark(layer, "first")
        initialise(self)
        layers = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        self._norms = [add_spectral_norm(layer) for layer in layers] if spectral else []
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.blocks(x))
        return self.end(x.sum((2, 3)) if self.sums else x.mean((2, 3)))[:, 0]

    def train(self, mode: bool = True) -> ResidualDiscriminator:
        """Keep spectral norms in evaluation mode: torch's update their estimate at every forward pass of training."""
        super().train(mode)
        for norm in self._norms:
            norm.eval()
        return self

    @torch.no_grad()
    def renew(self) -> None:
        """Take one power iteration for every spectral norm (Miyato et al., 2018, algorithm 1)."""
        for norm in self._norms:
            norm.train()
            norm()  # computing the weight updates the estimate
            norm.eval()


def doubled(x: Tensor) -> Tensor:
    """Repeat every pixel in both directions."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def add_spectral_norm(layer: nn.Conv2d | nn.Linear) -> ParametrizationList:
    """Divide the layer's weight by the largest singular value of its matrix (outputs, rest)."""
    role = marked_role(layer) or ("convolution" if isinstance(layer, nn.Conv2d) else "matrix")
    spectral_norm(layer)
    norm = layer.get_submodule("parametrizations.weight")
    assert isinstance(norm, ParametrizationList)
    mark(norm.original, role)
    return norm


def initialise(network: nn.Module) -> None:
    """Initialise weights by Glorot's uniform rule and biases as zero, as in the code of Miyato et al.

    The gain is sqrt(2) for the convolutions of residual branches."""
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            gain = math.sqrt(2) if name.split(".")[-1] in ("conv1", "conv2") else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
