"""Residual generators and discriminators for images (Gulrajani et al., 2017; Miyato et al., 2018, table 4).

At 32 pixels a side these are the papers' forms; at other sides the number of doublings follows the image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from optbench.models.gan.sides import halvings
from optbench.models.roles import mark

COARSEST = 8  # pixels a side at which a discriminator stops to halve
FLAT_BLOCKS = 2  # blocks of a discriminator that keep that side


class UpBlock(nn.Module):
    """Twice the side: norm, ReLU, doubling, convolution, norm, ReLU, convolution around a doubled shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(doubled(functional.relu(self.norm1(x))))
        return self.conv2(functional.relu(self.norm2(y))) + doubled(self.shortcut(x))


class Generator(nn.Module):
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


class Block(nn.Module):
    """Two convolutions around a shortcut, then the mean over 2x2 pixels where `halve`. Without `first`, a ReLU comes
    before the first convolution too; the shortcut has a convolution where the shape changes."""

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


class Discriminator(nn.Module):
    """Images (B, channels, side, side) to scores (B,): from sums over the pixels of the last block, or from means."""

    def __init__(self, channels: int, side: int, width: int, *, sums: bool, spectral: bool) -> None:
        super().__init__()
        self.sums = sums
        halving = max(1, halvings(side, COARSEST))
        blocks = [Block(channels, width, True, first=True)]
        blocks += [Block(width, width, number < halving) for number in range(1, halving + FLAT_BLOCKS)]
        self.blocks, self.end = nn.Sequential(*blocks), nn.Linear(width, 1)
        mark(self.end, "head")
        initialise(self)
        self._norms = [divided(layer) for layer in list(self.modules()) if layered(layer)] if spectral else []
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.blocks(x))
        return self.end(x.sum((2, 3)) if self.sums else x.mean((2, 3)))[:, 0]

    def train(self, mode: bool = True) -> Discriminator:
        """Spectral norms stay at rest: torch's move their estimate at every forward pass of training."""
        super().train(mode)
        for norm in self._norms:
            norm.parametrizations.weight.eval()
        return self

    @torch.no_grad()
    def renew(self) -> None:
        """One power iteration of every spectral norm (Miyato et al., 2018, algorithm 1)."""
        for norm in self._norms:
            norm.parametrizations.weight.train()
            norm.weight  # noqa: B018  computing the weight is what moves the estimate
            norm.parametrizations.weight.eval()


def doubled(x: Tensor) -> Tensor:
    """Every pixel four times."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def layered(module: nn.Module) -> bool:
    """Whether the module is a convolution or a linear layer."""
    return isinstance(module, (nn.Conv2d, nn.Linear))


def divided(layer: nn.Module) -> nn.Module:
    """The layer with its weight over the largest singular value of it, as a matrix (outputs, rest)."""
    role = getattr(layer, "optbench_role", "convolution" if isinstance(layer, nn.Conv2d) else "matrix")
    spectral_norm(layer)
    mark(layer.parametrizations.weight.original, role)
    return layer


def initialise(network: nn.Module) -> None:
    """Glorot's uniform weights, with gain sqrt(2) for the convolutions of residual branches, and zero biases (as in
    the code of Miyato et al.)."""
    for name, module in network.named_modules():
        if layered(module):
            gain = math.sqrt(2) if name.split(".")[-1] in ("conv1", "conv2") else 1.0
            nn.init.xavier_uniform_(module.weight, gain)
            nn.init.zeros_(module.bias)
