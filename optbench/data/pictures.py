"""Image files of any kind as the picture that a viewer shows, in 8-bit RGB.

The first frame of an animation, turned as its EXIF orientation says; transparent parts lie on white. A channel of more
than 8 bits (Pillow's modes I, F and I;16, and files with 16-bit colours) is scaled from the lowest and highest value of
its own file to 0..255: nothing else tells which of its values matter, and Pillow's own conversions clip them.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
DEEP_COLOUR = re.compile(r"(RGB|RGBA|RGBX|LA);16([BLN])")  # Pillow's names for 16-bit samples that it reads as 8-bit
DEEP = "optbench_deep"  # in the `info` of an image whose 16-bit colours were scaled to 8 bits
DRAFTED = {"JPEG", "MPO"}  # decoded at a reduced size, so only when the size is known
UNSIGNED, WHITE_IS_ZERO = 1, 0
SAMPLE_FORMAT, PHOTOMETRIC, ORIENTATION = 339, 262, 274  # tags of TIFF, the last one of EXIF too
METADATA = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # keys of `info` that may hold an orientation
SIDEWAYS, MIRRORED, UPSIDE_DOWN = {5, 6, 7, 8}, {2, 3, 7, 8}, {3, 4, 6, 7}  # orientations, of axes as stored


def open_image(content: bytes) -> Image.Image:
    """Open a file's first frame. A JPEG is decoded later, perhaps at a reduced size, all others now.

    Raises ValueError for a format that Pillow does not read; decoders raise many kinds of errors."""
    image = opened(content)
    if image.format in DRAFTED:
        return image
    mode = raw_mode(image)
    found = DEEP_COLOUR.fullmatch(mode)
    if found is None:
        image.load()
        return image
    return deep_colours(content, *found.groups())


def opened(content: bytes) -> Image.Image:
    """Open a file without decoding it."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise ValueError("the file is empty")
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("unknown image format") from None


def raw_mode(image: Image.Image) -> str:
    """Return Pillow's name for the layout of samples in the file; "" if its decoder has none."""
    tile = next(iter(getattr(image, "tile", ())), None)
    arguments = tile[3] if tile else ""
    return str((arguments[0] if arguments else "") if isinstance(arguments, tuple) else arguments)


def deep_colours(content: bytes, kind: str, order: str) -> Image.Image:
    """Return an image with 16-bit colours in RGB, or RGBA if it has alpha, scaled by its own range.

    Pillow keeps the first byte of each sample. Read with the other order of bytes, the file gives the second ones."""
    from PIL import Image

    if kind == "LA":
        words = np.asarray(decoded_as(content, "I;32B", "I")).view(np.uint32)
        grey, alpha = words >> 16, words >> 8 & 255
        values = np.stack([grey, grey, grey, alpha], -1)
    else:
        high = opened(content)
        low = decoded_as(content, f"{kind};16{'L' if order == 'B' else 'B'}")
        values = np.asarray(high).astype(np.uint32)
        values[..., :3] = values[..., :3] * 256 + np.asarray(low)[..., :3]
        key = high.info.get("transparency")
        if isinstance(key, tuple):  # one colour is transparent
            values = np.dstack([values, 255 * (values != np.array(key)).any(-1)])
    colours = scaled(values[..., :3])
    image = Image.fromarray(np.dstack([colours, values[..., 3:].astype(np.uint8)]))
    image.info[DEEP] = True
    return image


def decoded_as(content: bytes, mode_of_samples: str, mode: str | None = None) -> Image.Image:
    """Decode a file as if its samples had another layout of the same size."""
    image = opened(content)
    if mode is not None:
        image._mode = mode
    image.tile = [  # pyright: ignore[reportAttributeAccessIssue]  # of files alone
        tile._replace(args=(mode_of_samples, *tile.args[1:]) if isinstance(tile.args, tuple) else mode_of_samples)
        for tile in image.tile  # pyright: ignore[reportAttributeAccessIssue]
    ]
    image.load()
    return image


def is_deep(image: Image.Image) -> bool:
    """Return True if a channel has more than 8 bits in the file."""
    return image.mode in DEEP_MODES or DEEP in image.info


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB; transparent parts lie on white."""
    if image.mode in DEEP_MODES:
        image = grey(image)
    if image.mode == "LAB":
        return lab_to_rgb(image)
    if image.mode == "La":  # premultiplied, with no other way to RGBA
        image = image.convert("LA")
    if image.has_transparency_data:
        return on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """Lay an RGBA image on white."""
    from PIL import Image

    ground = Image.new("RGB", image.size, "white")
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return ground


def lab_to_rgb(image: Image.Image) -> Image.Image:
    """Convert CIE L*a*b* to sRGB."""
    from PIL import ImageCms

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    found = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    assert found is not None  # None only where the image itself is changed
    return found


def grey(image: Image.Image) -> Image.Image:
    """Return an image of one deep channel as 8-bit grey, with alpha where one value is transparent."""
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "I" and image.format == "TIFF" and tags.get(SAMPLE_FORMAT, UNSIGNED) in (UNSIGNED, (UNSIGNED,)):
        values = values.view(np.uint32)
    found = scaled(values)
    if image.format == "TIFF" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        found = 255 - found
    key = image.info.get("transparency")
    if isinstance(key, int):
        return Image.fromarray(np.dstack([found, 255 * (values != key).astype(np.uint8)]))
    return Image.fromarray(found)


def scaled(values: np.ndarray) -> np.ndarray:
    """Scale numbers from their lowest and highest to 0..255; a single value becomes 0.

    Raises ValueError for NaN and infinity."""
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("it has pixels that are not finite numbers")
    return np.rint((values - low) * (255 / (high - low) if high > low else 0.0)).astype(np.uint8)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) to 8; 1 for damaged EXIF data."""
    if not METADATA & image.info.keys():  # as of most: parsing nothing takes longer than this
        return 1
    with contextlib.suppress(Exception):  # parsers of damaged metadata raise many kinds
        found = image.getexif().get(ORIENTATION, 1)
        return found if found in range(1, 9) else 1
    return 1


def shown_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of the upright image."""
    return (image.height, image.width) if orientation(image) in SIDEWAYS else image.size


def stored_box(box: tuple[float, float, float, float], turn: int, size: tuple[int, int]) -> tuple[float, ...]:
    """Return the place in an image as stored, of width and height `size`, of a box in the upright image."""
    left, top, right, bottom = box if turn not in SIDEWAYS else (box[1], box[0], box[3], box[2])
    if turn in MIRRORED:
        left, right = max(0.0, size[0] - right), size[0] - left
    if turn in UPSIDE_DOWN:
        top, bottom = max(0.0, size[1] - bottom), size[1] - top
    return left, top, right, bottom


def upright(image: Image.Image, turn: int) -> Image.Image:
    """Turn an image as stored by its EXIF orientation."""
    from PIL.Image import Transpose

    turns = {2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM}
    turns |= {5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90}
    return image if turn == 1 else image.transpose(turns[turn])
