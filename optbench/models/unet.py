"""U-Net: from a noisy image and the time of its noise to an image of the same shape.

Blocks, zero weights at the end of each and adaptive group norm as in Dhariwal and Nichol (2021, arXiv:2105.05233);
widths as Ho, Jain and Abbeel (2020, arXiv:2006.11239) have them on CIFAR-10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import ImageData
from optbench.errors import ConfigError
from optbench.models.roles import mark

SMALLEST_SIDE = 4  # pixels: a side of more is halved while it is even
MOST_LEVELS = 4
GROUPS = 8  # of a group norm, where the channels can be divided by it
FINEST = 1000.0  # times are multiplied by it: the steps that diffusion models number (Ho et al., 2020)
PERIODS = 10_000.0  # ratio of the longest period of the time's sines to the shortest

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def levels_of(height: int, width: int) -> int:
    """Return how many resolutions fit: each halves both sides while these are even and above 4 pixels; at most 4."""
    levels = 1
    while levels < MOST_LEVELS and height % 2 == width % 2 == 0 and min(height, width) > SMALLEST_SIDE:
        height, width, levels = height // 2, width // 2, levels + 1
    return levels


def build(data: ImageData, *, width: int, levels: int | None, blocks: int, dropout: float) -> nn.Module:
    """Build a network from images (B, C, H, W) and times (B,) in [0, 1] to (B, C, H, W).

    Raises ConfigError for samples that are no images, or for sides that cannot be halved so often."""
    shape = tuple(data.sample_shape)
    if len(shape) != 3:
        raise ConfigError(f"model=unet needs images (channels, height, width), but samples have the shape {shape}")
    channels, *sides = shape
    chosen = levels or levels_of(*sides)
    if any(side % 2 ** (chosen - 1) for side in sides):
        raise ConfigError(
            f"model.levels={chosen}: sides of {sides[0]}x{sides[1]} pixels cannot be halved {chosen - 1} times",
            f"Choose at most {levels_of(*sides)}",
        )
    return UNet(channels, [width] + [2 * width] * (chosen - 1), blocks, dropout)


class UNet(nn.Module):
    """Residual blocks on the way down, attention at the bottom, and blocks on the way up that also see the way down."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, dropout: float) -> None:
        super().__init__()
        first, time = widths[0], 4 * widths[0]
        self.first = first
        self.time = nn.Sequential(nn.Linear(2 * (first // 2), time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.stem = nn.Conv2d(channels, first, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        seen, inputs = [first], first  # channels of what the way up sees
        for level, outputs in enumerate(widths):
            if level:
                self.down.append(Halved(inputs))
                seen.append(inputs)
            for _ in range(blocks):
                self.down.append(Block(inputs, outputs, time, dropout))
                inputs = outputs
                seen.append(inputs)
        self.middle = nn.ModuleList(
            [Block(inputs, inputs, time, dropout), Attention(inputs), Block(inputs, inputs, time, dropout)]
        )
        for level, outputs in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Block(inputs + seen.pop(), outputs, time, dropout))
                inputs = outputs
            if level:
                self.up.append(Doubled(inputs))
        self.norm, self.head = norm(inputs), zero(nn.Conv2d(inputs, channels, 3, padding=1))
        mark(self.head, "head")
        mark(self.stem, "first")

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        time = self.time(sines(times, self.first).to(self.stem.weight.dtype))
        x = self.stem(x)
        seen = [x]
        for layer in self.down:
            x = layer(x, time)
            seen.append(x)
        for layer in self.middle:
            x = layer(x, time)
        for layer in self.up:
            x = layer(torch.cat([x, seen.pop()], 1) if isinstance(layer, Block) else x, time)
        return self.head(functional.silu(self.norm(x)))


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut; the time scales and shifts what enters the second."""

    def __init__(self, inputs: int, outputs: int, time: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, 2 * outputs)
        self.norm2, self.dropout = norm(outputs), nn.Dropout(dropout)
        self.conv2 = zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
        y = self.norm2(y) * (1 + scale) + shift
        return self.shortcut(x) + self.conv2(self.dropout(functional.silu(y)))


class Attention(nn.Module):
    """Self-attention with one head between the pixels, around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.qkv = norm(channels), nn.Linear(channels, 3 * channels)
        self.out = zero(nn.Linear(channels, channels))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # (B, H W, C)
        query, key, value = self.qkv(pixels)[:, None].chunk(3, -1)
        found = functional.scaled_dot_product_attention(query, key, value)[:, 0]
        return x + self.out(found).transpose(1, 2).unflatten(2, x.shape[2:])


class Halved(nn.Conv2d):
    """Half the side, by a 3x3 convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return super().forward(x)


class Doubled(nn.Conv2d):
    """Twice the side, by repeated pixels and a 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return super().forward(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


def sines(times: Tensor, width: int) -> Tensor:
    """Return sines and cosines (B, width) of times (B,) in [0, 1], at geometric periods (Vaswani et al., 2017)."""
    half = width // 2
    rates = torch.exp(-math.log(PERIODS) * torch.arange(half, device=times.device) / half)
    angles = FINEST * times.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of 8 groups, or of as many as divide the channels."""
    return nn.GroupNorm(math.gcd(channels, GROUPS), channels)


def zero(layer: Layer) -> Layer:
    """Return the layer with weights and biases of zero: what it adds to is unchanged at the start."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
