"""SN-GAN: residual networks, spectral norm in the discriminator (Miyato et al., 2018, arXiv:1802.05957, table 4)."""

from __future__ import annotations

from torch import nn

from optbench.contracts import ImageData
from optbench.models.gan.residual import ResidualDiscriminator, ResidualGenerator
from optbench.models.gan.sides import square_side

GENERATOR_FACTOR = 2  # channels of the generator per channel of the discriminator: 256 and 128 in the paper


def build(data: ImageData, *, width: int, noise: int) -> nn.ModuleDict:
    """Build a generator with twice `width` channels and a discriminator with `width` channels."""
    channels, side = data.sample_shape[0], square_side(data)
    generator = ResidualGenerator(noise, channels, side, GENERATOR_FACTOR * width)
    discriminator = ResidualDiscriminator(channels, side, width, sums=True, spectral=True)
    return nn.ModuleDict({"generator": generator, "discriminator": discriminator})
