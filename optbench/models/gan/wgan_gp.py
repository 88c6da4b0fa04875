"""WGAN-GP: residual networks, no norm in the critic (Gulrajani et al., 2017, arXiv:1704.00028, appendix F)."""

from __future__ import annotations

from torch import nn

from optbench.contracts import ImageData
from optbench.models.gan.residual import Discriminator, Generator
from optbench.models.gan.sides import square_side


def build(data: ImageData, *, width: int, noise: int) -> nn.Module:
    """Generator and critic of `width` channels for the images of `data`."""
    channels, side = data.sample_shape[0], square_side(data)
    generator = Generator(noise, channels, side, width)
    return nn.ModuleDict(
        {"generator": generator, "discriminator": Discriminator(channels, side, width, sums=False, spectral=False)}
    )
