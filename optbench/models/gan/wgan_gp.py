"""WGAN-GP: residual networks, no norm in the critic (Gulrajani et al., 2017, arXiv:1704.00028, appendix F)."""

from __future__ import annotations

from torch import nn

from optbench.contracts import ImageData
from optbench.models.gan.residual import ResidualDiscriminator, ResidualGenerator
from optbench.models.gan.sides import square_side


def build(data: ImageData, *, width: int, noise: int) -> nn.ModuleDict:
    """Build a generator and a critic with `width` channels."""
    channels, side = data.sample_shape[0], square_side(data)
    generator = ResidualGenerator(noise, channels, side, width)
    critic = ResidualDiscriminator(channels, side, width, sums=False, spectral=False)
    return nn.ModuleDict({"generator": generator, "discriminator": critic})
