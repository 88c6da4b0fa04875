"""Image files of every kind become the picture that a viewer shows, in 8-bit RGB."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from optbench.config import notices
from optbench.contracts import Seeds
from optbench.data.crops import RandomCrop
from optbench.data.decode import center_crop, decode
from optbench.data.image_list import ImageFiles
from optbench.data.imagefolder import ImageFolder
from optbench.data.pictures import is_deep, open_image, to_rgb
from optbench.errors import MissingError

RAMP = np.linspace(0, 1, 30 * 40).reshape(30, 40)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], -1)
PICTURE = Image.fromarray((255 * COLOURS).astype(np.uint8))
GREY = np.repeat(np.rint(255 * RAMP).astype(np.uint8)[..., None], 3, -1)


def as_mode(mode: str) -> Image.Image:
    """Return the picture, or the ramp for modes of one deep channel, in a mode of Pillow."""
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        found = ImageCms.profileToProfile(PICTURE, *profiles, outputMode="LAB")
        assert found is not None
        return found
    steps = {"RGBa": ["RGBA", "RGBa"], "La": ["LA", "La"], "PA": ["RGBA", "P", "PA"]}
    image = PICTURE
    for step in steps.get(mode, [mode]):
        image = image.quantize() if step == "P" and image.mode == "RGBA" else image.convert(step)
    return image


def shown(image: Image.Image) -> np.ndarray:
    return np.asarray(to_rgb(image)).astype(float)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "P", "PA"])
def test_colour_modes_keep_the_picture(mode: str) -> None:
    found = shown(as_mode(mode))
    tolerance = {"P": 20, "PA": 20, "LAB": 3, "HSV": 4, "YCbCr": 3}.get(mode, 0)  # mean of the channels
    assert np.abs(found - np.asarray(PICTURE)).mean() <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La"])
def test_grey_modes_keep_the_picture(mode: str) -> None:
    grey = np.asarray(PICTURE.convert("L").convert("RGB")).astype(float)
    assert np.abs(shown(as_mode(mode)).mean() - grey.mean()) < 3


@pytest.mark.parametrize(
    ("mode", "low", "high", "kind"),
    [
        ("I", 0, 100_000, np.int32),
        ("I", -7_000, 70, np.int32),
        ("F", 0.0, 1.0, np.float32),
        ("F", -1e9, 1e9, np.float32),
        ("I;16", 0, 4095, "<u2"),
        ("I;16B", 100, 300, ">u2"),
        ("I;16L", 0, 65535, "<u2"),
        ("I;16N", 0, 200, "=u2"),
    ],
)
def test_deep_modes_are_scaled_by_their_own_range(mode: str, low: float, high: float, kind: str) -> None:
    values = (low + RAMP * (high - low)).astype(kind)
    image = Image.frombytes(mode, (40, 30), values.tobytes())
    assert is_deep(image)
    found = shown(image)
    assert (found.min(), found.max()) == (0, 255)
    assert np.abs(found - GREY).max() <= 256 / min(255.0, high - low) + 1


def png(values: np.ndarray, colour_type: int) -> bytes:
    """Return a 16-bit PNG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff(values: np.ndarray, photometric: int = 1, sample_format: int = 1, order: str = "<") -> bytes:
    """Return an uncompressed TIFF of any kind of samples; Pillow writes few."""
    count, (height, width) = values.shape[2] if values.ndim == 3 else 1, values.shape[:2]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()  # pyright: ignore[reportArgumentType]
    bits, end = [values.dtype.itemsize * 8] * count, 8 + 2 + 12 * 10 + 4
    pieces = [(258, bits), (339, [sample_format] * count)]
    extra, places = b"", {}
    for tag, numbers in pieces:
        packed = struct.pack(f"{order}{count}H", *numbers)
        places[tag] = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", end + len(extra))
        extra += packed if len(packed) > 4 else b""
    short = {256: width, 257: height, 259: 1, 262: photometric, 277: count, 278: height}
    entries = {tag: (3, 1, struct.pack(f"{order}HH", value, 0)) for tag, value in short.items()}
    entries |= {tag: (3, count, place) for tag, place in places.items()}
    entries |= {273: (4, 1, struct.pack(f"{order}I", end + len(extra)))}
    entries |= {279: (4, 1, struct.pack(f"{order}I", len(data)))}
    table = b"".join(struct.pack(f"{order}HHI", tag, *entries[tag][:2]) + entries[tag][2] for tag in sorted(entries))
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + table + struct.pack(f"{order}I", 0) + extra + data


DARK = np.rint(COLOURS * 200).astype(np.uint16)  # in 16 bits: Pillow's own conversion makes it black
OPAQUE = np.full((30, 40, 1), 65535, np.uint16)
DEEP_FILES: dict[str, bytes] = {
    "png rgb": png(DARK, 2),
    "png rgba": png(np.dstack([DARK, OPAQUE]), 6),
    "tiff rgb": tiff(DARK, 2),
    "tiff rgb, big-endian": tiff(DARK, 2, order=">"),
    "png grey": png(DARK[..., :1], 0),
    "png grey with alpha": png(np.dstack([DARK[..., :1], OPAQUE]), 4),
    "tiff grey": tiff(DARK[..., 0]),
    "tiff signed": tiff(DARK[..., 0].astype(np.int16) - 100, sample_format=2),
    "tiff 32 bit": tiff((RAMP * 4e9).astype(np.uint32)),
    "tiff float": tiff((RAMP - 0.5).astype(np.float32), sample_format=3, order=">"),
    "tiff white is zero": tiff(200 - DARK[..., 0], 0),
}


@pytest.mark.parametrize("name", DEEP_FILES)
def test_deep_files_keep_their_content(name: str, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(DEEP_FILES[name])
    found = decode(ImageFiles([str(tmp_path / "image")], torch.zeros(1)), 0, to_rgb)
    expected = np.asarray(PICTURE) if "rgb" in name else GREY
    assert found.deep
    assert np.abs(found.pixels.astype(float) - expected).max() <= 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (tiff(np.full((4, 4), np.nan, np.float32), sample_format=3), "not finite numbers"),
        (tiff(RAMP.astype(np.float64), sample_format=3), "unknown image format"),
        (tiff(COLOURS.astype(np.float32), 2, sample_format=3), "unknown image format"),
    ],
    ids=["nan", "double", "float colours"],
)
def test_deep_files_that_cannot_be_kept_are_named(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(MissingError, match=rf"a\.tif cannot be decoded: .*{reason}"):
        decode(ImageFiles([str(tmp_path / "a.tif")], torch.zeros(1)), 0, to_rgb)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("form", "size"), [("PNG", (50, 40)), ("TIFF", (50, 40)), ("JPEG", (800, 600))])
@pytest.mark.parametrize("turn", range(1, 9))
def test_images_stand_as_exif_says(turn: int, form: str, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[274] = turn
    content = saved(PICTURE.resize(size, Image.Resampling.BICUBIC), form, exif=exif)
    stands = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    crops: list[Callable[[Image.Image], Image.Image]] = [lambda image: center_crop(image, 32)]
    crops += [lambda image, seed=seed: RandomCrop(32, 0.3, False, 0.0)(image, seed) for seed in range(3)]
    for crop in crops:
        found, expected = (np.asarray(crop(image)).astype(float) for image in (open_image(content), stands))
        assert np.abs(found - expected).max() <= 2


def test_damaged_exif_data_turn_nothing() -> None:
    content = saved(PICTURE, "JPEG", exif=b"Exif\0\0" + b"damaged" * 3)
    assert center_crop(open_image(content), 16).size == (16, 16)


def frames() -> list[Image.Image]:
    return [PICTURE, PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT), Image.new("RGB", PICTURE.size)]


@pytest.mark.parametrize(("form", "apart"), [("GIF", 20), ("WEBP", 0), ("PNG", 0), ("TIFF", 0)])
def test_the_first_frame_of_an_animation_is_shown(form: str, apart: float) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames()[0], form, save_all=True, append_images=frames()[1:], **options)
    found = np.asarray(to_rgb(open_image(content))).astype(float)
    assert np.abs(found - np.asarray(PICTURE)).mean() <= apart


def test_a_cmyk_jpeg_of_adobe_is_not_inverted() -> None:
    content = saved(PICTURE.convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content
    assert np.abs(np.asarray(to_rgb(open_image(content))).astype(float) - np.asarray(PICTURE)).mean() < 6


def hidden_half(mode: str) -> bytes:
    """Return a PNG whose left half is transparent, over colours that must not show."""
    alpha = Image.new("L", PICTURE.size, 255)
    alpha.paste(0, (0, 0, 20, 30))
    if mode == "P":
        image = Image.new("P", PICTURE.size, 1)
        image.putpalette([200, 0, 0, 0, 0, 255])
        image.paste(0, (0, 0, 20, 30))
        return saved(image, "PNG", transparency=bytes([0, 255]))
    if mode == "key":
        image = Image.new("RGB", PICTURE.size, (0, 0, 255))
        image.paste((200, 0, 0), (0, 0, 20, 30))
        return saved(image, "PNG", transparency=(200, 0, 0))
    image = Image.new("RGB", PICTURE.size, (0, 0, 255)).convert(mode)
    image.putalpha(alpha)
    return saved(image, "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "key"])
def test_transparent_parts_lie_on_white(mode: str) -> None:
    found = np.asarray(to_rgb(open_image(hidden_half(mode))))
    assert (found[:, :20] == 255).all()
    assert found[:, 20:].reshape(-1, 3).tolist() == [[29, 29, 29] if mode == "LA" else [0, 0, 255]] * 600


def set_of(folder: Path, memory: int) -> ImageFolder:
    settings = {"image_size": 16, "crop_scale": 0.25, "randaugment": 0.0, "validation": 0.2, "workers": 1}
    augment = {"crop_pad": None, "flip": False, "cutout": 0, "mixup": 0.0, "cutmix": 0.0}
    scale = {"mean": [0.5] * 3, "std": [0.25] * 3, "augment": augment, "in_memory_bytes": memory}
    return ImageFolder(path=str(folder), **settings, **scale)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("memory", [10**9, 0], ids=["memory", "streamed"])
def test_scaling_is_said_once_for_a_data_set(
    memory: int, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_said", set())
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(5):
                (tmp_path / part / name / f"{number}.png").write_bytes(DEEP_FILES["png rgb"])
    with caplog.at_level(logging.INFO, "optbench"):
        for _ in range(2):
            data = set_of(tmp_path, memory).load(tmp_path, torch.device("cpu"), Seeds(1, 2, 3))
            inputs = [batch["inputs"] for batch in data.eval_batches("test", 4)]
            assert all(image.std() > 0.1 for batch in inputs for image in batch)
    said = [record.getMessage() for record in caplog.records if "more than 8 bits" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(f"data.path={tmp_path}: ")
