"""SN-GAN: residual networks, spectral norm in the discriminator (Miyato et al., 2018, arXiv:1802.05957, table 4)."""

from __future__ import annotations

from torch import nn

from optbench.contracts import ImageData
from optbench.models.gan.residual import Discriminator, Generator
from optbench.models.gan.sides import square_side

GENERATOR_SHARE = 2  # channels of the generator to one of the discriminator: 256 and 128


def build(data: ImageData, *, width: int, noise: int) -> nn.Module:
    """Generator of twice `width` channels and discriminator of `width` for the images of `data`."""
    channels, side = data.sample_shape[0], square_side(data)
    generator = Generator(noise, channels, side, GENERATOR_SHARE * width)
    return nn.ModuleDict(
        {"generator": generator, "discriminator": Discriminator(channels, side, width, sums=True, spectral=True)}
    )
