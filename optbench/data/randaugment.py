"""RandAugment (Cubuk, Zoph, Shlens and Le, 2020, arXiv:1909.13719): a few operations drawn at random, one strength.

The fourteen operations of the paper on PIL images, which worker processes change before they are stacked. Magnitude M
is on the paper's scale, where 10 is the strongest setting of AutoAugment; with m = M / 10

    rotate                                   by 30 m degrees, to either side
    shear-x, shear-y                         by 0.3 m, to either side
    translate-x, translate-y                 by 150 / 331 m of the side, to either side
    colour, contrast, brightness, sharpness  by the factor 1 + 0.9 m or 1 - 0.9 m
    posterize                                to 8 - 4 m bits
    solarize                                 from the threshold 256 (1 - m) on: at 10 it inverts the image
    identity, autocontrast, equalize         whatever M is

What is moved in from outside is grey, the mean pixel. The factors run as torchvision has them, stronger with M; in the
first TensorFlow code some run backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

OPERATIONS = 2  # drawn for each image, as in the paper's ImageNet settings
GREY = (124, 116, 104)  # of 255: the mean pixel of ImageNet
SHEAR, TRANSLATE, ROTATE, ENHANCE, BITS = 0.3, 150 / 331, 30.0, 0.9, 4


def randaugment(image: Any, magnitude: float, draws: Sequence[float]) -> Any:
    """An RGB image after `OPERATIONS` operations; `draws` holds two numbers in [0, 1) for each: which, and its side."""
    for which, side in zip(draws[0::2], draws[1::2], strict=True):
        operation = ALL[int(which * len(ALL))]
        image = operation(image, magnitude / 10 if side < 0.5 else -magnitude / 10)
    return image


def moved(image: Any, *matrix: float) -> Any:
    """An affine map, given as where each pixel comes from."""
    from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=GREY)


def rotate(image: Any, m: float) -> Any:
    """Around the centre."""
    from PIL import Image

    return image.rotate(ROTATE * m, Image.Resampling.NEAREST, fillcolor=GREY)


def enhanced(name: str) -> Callable[[Any, float], Any]:
    """The operation of PIL's ImageEnhance under this name."""

    def enhance(image: Any, m: float) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(1 + ENHANCE * m)

    return enhance


def posterize(image: Any, m: float) -> Any:
    """Fewer bits for each channel."""
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(BITS * min(1.0, abs(m))))


def solarize(image: Any, m: float) -> Any:
    """Pixels from a threshold on inverted."""
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - abs(m))))


def autocontrast(image: Any, m: float) -> Any:
    """Each channel stretched over the whole range."""
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def equalize(image: Any, m: float) -> Any:
    """Each channel's histogram made flat."""
    from PIL import ImageOps

    return ImageOps.equalize(image)


ALL: tuple[Callable[[Any, float], Any], ...] = (
    lambda image, m: image,
    autocontrast,
    equalize,
    rotate,
    solarize,
    enhanced("Color"),
    posterize,
    enhanced("Contrast"),
    enhanced("Brightness"),
    enhanced("Sharpness"),
    lambda image, m: moved(image, 1, SHEAR * m, -SHEAR * m * image.height / 2, 0, 1, 0),
    lambda image, m: moved(image, 1, 0, 0, SHEAR * m, 1, -SHEAR * m * image.width / 2),
    lambda image, m: moved(image, 1, 0, TRANSLATE * m * image.width, 0, 1, 0),
    lambda image, m: moved(image, 1, 0, 0, 0, 1, TRANSLATE * m * image.height),
)
