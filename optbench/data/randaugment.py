"""RandAugment (Cubuk, Zoph, Shlens and Le, 2020, arXiv:1909.13719): a few random operations of one strength.

The fourteen operations of the paper on PIL images, applied in worker processes. Magnitude M is on the paper's scale,
where 10 is the strongest setting of AutoAugment; with m = M / 10

    rotate                                   by 30 m degrees, in either direction
    shear-x, shear-y                         by 0.3 m, in either direction
    translate-x, translate-y                 by 150 / 331 m of the side, in either direction
    color, contrast, brightness, sharpness   by the factor 1 + 0.9 m or 1 - 0.9 m
    posterize                                to 8 - 4 m bits
    solarize                                 from the threshold 256 (1 - m) on: at 10 it inverts the image
    identity, autocontrast, equalize         independent of M

Pixels from outside the image are grey, the mean pixel. The factors grow with M, as in torchvision; in the first
TensorFlow code some shrink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

OPERATIONS = 2  # drawn for each image, as in the paper's ImageNet settings
GREY = (124, 116, 104)  # of 255: the mean pixel of ImageNet
SHEAR, TRANSLATE, ROTATE, ENHANCE, BITS = 0.3, 150 / 331, 30.0, 0.9, 4


def randaugment(image: Image, magnitude: float, draws: Sequence[float]) -> Image:
    """Apply `OPERATIONS` operations to an RGB image. `draws`: two numbers in [0, 1) for each, operation and sign."""
    for which, sign in zip(draws[0::2], draws[1::2], strict=True):
        operation = ALL[int(which * len(ALL))]
        image = operation(image, magnitude / 10 if sign < 0.5 else -magnitude / 10)
    return image


def affine(image: Image, *matrix: float) -> Image:
    """Apply an affine map; the matrix maps output pixels to input pixels."""
    from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=GREY)


def rotate(image: Image, m: float) -> Image:
    """Rotate around the centre."""
    from PIL import Image

    return image.rotate(ROTATE * m, Image.Resampling.NEAREST, fillcolor=GREY)


def enhance(name: str) -> Callable[[Image, float], Image]:
    """Return the operation of this name from PIL's ImageEnhance."""

    def operation(image: Image, m: float) -> Image:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(1 + ENHANCE * m)

    return operation


def posterize(image: Image, m: float) -> Image:
    """Reduce the bits of each channel."""
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(BITS * min(1.0, abs(m))))


def solarize(image: Image, m: float) -> Image:
    """Invert pixels from a threshold on."""
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - abs(m))))


def autocontrast(image: Image, m: float) -> Image:
    """Stretch each channel over the whole range."""
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def equalize(image: Image, m: float) -> Image:
    """Equalize each channel's histogram."""
    from PIL import ImageOps

    return ImageOps.equalize(image)


ALL: tuple[Callable[[Image, float], Image], ...] = (
    lambda image, m: image,
    autocontrast,
    equalize,
    rotate,
    solarize,
    enhance("Color"),
    posterize,
    enhance("Contrast"),
    enhance("Brightness"),
    enhance("Sharpness"),
    lambda image, m: affine(image, 1, SHEAR * m, -SHEAR * m * image.height / 2, 0, 1, 0),
    lambda image, m: affine(image, 1, 0, 0, SHEAR * m, 1, -SHEAR * m * image.width / 2),
    lambda image, m: affine(image, 1, 0, TRANSLATE * m * image.width, 0, 1, 0),
    lambda image, m: affine(image, 1, 0, 0, 0, 1, TRANSLATE * m * image.height),
)
