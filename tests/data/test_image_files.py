"""Image files of every format, unusable ones, and their decoding into tensors."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optbench import config
from optbench.cli import app
from optbench.config import imports
from optbench.config.content import fingerprint
from optbench.contracts import Seeds
from optbench.data.crops import RandomCrop
from optbench.data.decode import center_crop, decode, decode_reduced
from optbench.data.image_list import ImageFiles
from optbench.data.pictures import to_rgb
from optbench.data.randaugment import ALL, GREY, OPERATIONS, randaugment
from optbench.errors import ConfigError, MissingError

CPU = torch.device("cpu")
SEEDS = Seeds(init=1, order=2, augment=3)
STREAM = ("data.in_memory_bytes=0",)


def source(*overrides: str) -> Any:
    choice = config.load(overrides).data
    return imports.load(choice.target)(**choice.settings)


def photograph(width: int = 50, height: int = 40, seed: int = 0) -> Image.Image:
    """Return coarse noise scaled up, which JPEG preserves."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def folder_of(root: Path, suffix: str = ".jpg", images: int = 6) -> Path:
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            place = root / part / name
            place.mkdir(parents=True)
            for number in range(images):
                photograph(seed=number).save(place / f"{number}{suffix}")
    return root


def test_hidden_files_are_no_images_and_no_content(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images")
    made = source("data=imagefolder", f"data.path={folder}")
    before = (made.load(tmp_path, CPU, SEEDS).sha256, fingerprint(folder))
    (folder / "train" / "cat" / "._0.jpg").write_bytes(b"left by a file manager")
    (folder / "val" / ".cache").mkdir()
    assert (made.load(tmp_path, CPU, SEEDS).sha256, fingerprint(folder)) == before


# -- formats -----------------------------------------------------------------------------------------------------------

FORMATS: dict[str, Callable[[Image.Image], tuple[Image.Image, str]]] = {
    "jpeg": lambda image: (image, "JPEG"),
    "grey jpeg": lambda image: (image.convert("L"), "JPEG"),
    "cmyk jpeg": lambda image: (image.convert("CMYK"), "JPEG"),
    "gif": lambda image: (image.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
    "png with alpha": lambda image: (image.convert("RGBA"), "PNG"),
    "grey png with alpha": lambda image: (image.convert("LA"), "PNG"),
    "one bit": lambda image: (image.convert("1"), "PNG"),
    "16-bit grey": lambda image: (Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
    "webp": lambda image: (image, "WEBP"),
    "tiff": lambda image: (image, "TIFF"),
    "bmp": lambda image: (image, "BMP"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_becomes_rgb(name: str, tmp_path: Path) -> None:
    image = photograph()
    made, form = FORMATS[name](image)
    file = tmp_path / "image"
    made.save(file, form)
    found = decode(ImageFiles([str(file)], torch.zeros(1)), 0, to_rgb).pixels
    assert found.shape == (40, 50, 3)
    assert found.dtype == np.uint8
    grey = np.asarray(image.convert("L"), dtype=float).mean()
    assert found.mean() == pytest.approx(grey, abs=15)  # neither white nor inverted


def test_transparency_of_a_palette_gives_no_warning() -> None:
    image = photograph().convert("P", palette=Image.Palette.ADAPTIVE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes(range(256)))
    buffer.seek(0)
    assert to_rgb(Image.open(buffer)).mode == "RGB"


@pytest.mark.parametrize("stream", [(), (*STREAM, "data.workers=0")], ids=["memory", "streamed"])
def test_a_folder_of_mixed_formats_loads(tmp_path: Path, stream: tuple[str, ...]) -> None:
    folder = folder_of(tmp_path / "set")
    for number, make in enumerate(FORMATS.values()):
        made, form = make(photograph(seed=number))
        suffix = {"JPEG": ".JPEG", "TIFF": ".tif"}.get(form, f".{form.lower()}")
        made.save(folder / "train" / "cat" / f"more{number}{suffix}", form)
    settings = ("data=imagefolder", f"data.path={folder}", "data.image_size=16", *stream)
    data = source(*settings).load(tmp_path, CPU, SEEDS)
    assert sum(data.sizes.values()) == 24 + len(FORMATS)
    batches = list(islice(data.train_batches(8), 6))
    assert all(batch["inputs"].isfinite().all() for batch in batches)


# -- decoding at a reduced size ------------------------------------------------------------------------------------


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same() -> None:
    buffer = io.BytesIO()
    photograph(800, 600).save(buffer, "JPEG", quality=95)
    small, scale = decode_reduced(Image.open(buffer), 800 / 100)
    assert (small.size, scale) == ((200, 150), 0.25)  # twice what is needed remains
    whole = center_crop(photograph(800, 600), 64)
    found = center_crop(Image.open(buffer), 64)
    apart = np.abs(np.asarray(whole, dtype=float) - np.asarray(found, dtype=float))
    assert apart.mean() < 3
    assert np.asarray(whole).std() > 20


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.9])
def test_a_jpeg_scaled_down_little_is_decoded_at_full_size(factor: float) -> None:
    buffer = io.BytesIO()
    photograph(80, 60).save(buffer, "JPEG")
    image, scale = decode_reduced(Image.open(buffer), factor)
    assert (image.size, scale) == ((80, 60), 1.0)


@pytest.mark.parametrize("size", [50, 200])
def test_the_decoded_size_does_not_change_the_crop(size: int) -> None:
    image = photograph(801, 601)  # the decoder rounds up, and the extent must not move with it
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    crop = RandomCrop(size, 0.3, True, 0.0)
    for seed in range(10):
        whole, found = (np.asarray(crop(each, seed), dtype=float) for each in (image, Image.open(buffer)))
        other = np.asarray(crop(image, seed + 1), dtype=float)
        assert np.abs(whole - found).mean() < 1.0
        assert np.abs(whole - other).mean() > 10


@pytest.mark.parametrize(("width", "height"), [(50, 40), (9, 300), (1, 1)])
def test_crops_lie_inside_the_image_and_have_the_right_area(width: int, height: int) -> None:
    crop = RandomCrop(8, 0.25, False, 0.0)
    for seed in range(50):
        draws = torch.rand(4, generator=torch.Generator().manual_seed(seed)).tolist()
        left, top, w, h = crop.box(width, height, draws)
        assert left >= 0 and top >= 0 and left + w <= width + 1e-9 and top + h <= height + 1e-9
        assert w * h <= width * height + 1e-9
    left, top, w, h = crop.box(100, 100, [0.0, 0.5, 0.0, 1.0])
    assert (left, top, w, h) == pytest.approx((0, 50, 50, 50))  # a quarter, square, at the lower left


# -- RandAugment -------------------------------------------------------------------------------------------------------


def test_randaugment_has_the_papers_operations() -> None:
    assert len(ALL) == 14
    image = photograph().point([40 + value // 2 for value in range(256)] * 3)  # a range that autocontrast can stretch
    for number, operation in enumerate(ALL):
        found = operation(image, 0.7)
        assert (found.size, found.mode) == (image.size, "RGB"), number
    changed = [number for number, operation in enumerate(ALL) if operation(image, 0.7).tobytes() != image.tobytes()]
    assert changed == list(range(1, 14))  # all but the identity


@pytest.mark.parametrize("which", [3, 5, 7, 8, 9, 10, 11, 12, 13])
def test_magnitudes_have_two_signs_and_zero_changes_nothing(which: int) -> None:
    image = photograph()
    assert ALL[which](image, 0.0).tobytes() == image.tobytes()
    assert ALL[which](image, 0.6).tobytes() != ALL[which](image, -0.6).tobytes()


def test_randaugment_by_hand() -> None:
    image = Image.fromarray(np.full((10, 10, 3), 200, np.uint8))
    assert np.asarray(ALL[4](image, 1.0))[0, 0].tolist() == [55] * 3  # solarize from 0 on: inverted
    assert np.asarray(ALL[4](image, 0.2))[0, 0].tolist() == [200] * 3  # from 205 on: untouched
    assert np.asarray(ALL[6](image, 1.0))[0, 0].tolist() == [192] * 3  # four bits
    assert np.asarray(ALL[8](image, -1.0))[0, 0].tolist() == [20] * 3  # a tenth of the brightness
    shifted = np.asarray(ALL[12](image, 1.0))  # by 4.5 of 10 pixels
    assert [tuple(pixel) == GREY for pixel in shifted[0]] == [False] * 5 + [True] * 5 or [
        tuple(pixel) == GREY for pixel in shifted[0]
    ] == [False] * 6 + [True] * 4


def test_two_operations_are_drawn_with_their_signs() -> None:
    image = photograph()
    posterized, inverted = 6.5 / 14, 4.5 / 14
    found = randaugment(image, 10, [inverted, 0.1, posterized, 0.9])
    assert found.tobytes() == ALL[6](ALL[4](image, 1.0), -1.0).tobytes()
    assert OPERATIONS == 2


def test_randaugment_depends_on_the_seed_and_keeps_the_crop(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set")
    settings = ("data=imagefolder", f"data.path={folder}", "data.image_size=16", *STREAM)
    batches = {}
    for workers, magnitude in ((0, 9), (2, 9), (0, 0)):
        made = source(*settings, f"data.workers={workers}", f"data.randaugment={magnitude}")
        found = list(islice(made.load(tmp_path, CPU, SEEDS).train_batches(5), 4))
        batches[workers, magnitude] = torch.cat([batch["inputs"] for batch in found])
    assert torch.equal(batches[0, 9], batches[2, 9])
    same = (batches[0, 9] == batches[0, 0]).all(3).all(2).all(1)
    assert 0 <= same.sum() < 10  # both operations the identity or without effect


@pytest.mark.parametrize("name", ["imagefolder", "imagenet"])
def test_a_set_in_memory_refuses_randaugment(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "set")
    settings = (f"data={name}", f"data.path={folder}", "data.randaugment=5", "data.in_memory_bytes=1e9")
    with pytest.raises(ConfigError, match=r"data\.randaugment=5 is for streamed sets"):
        source(*settings, "data.validation=0.2").load(tmp_path, CPU, SEEDS)


# -- bad input, as a user meets it -------------------------------------------------------------------------------------


def one_class(folder: Path) -> None:
    for part in ("train", "val"):
        (folder / part / "dog").rename(folder / part / ".dog")


def no_train(folder: Path) -> None:
    (folder / "train").rename(folder / "learning")


def new_class(folder: Path) -> None:
    (folder / "val" / "emu").mkdir()
    photograph().save(folder / "val" / "emu" / "0.jpg")


def damaged(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for file in (folder / "train" / "cat").iterdir():
            file.write_bytes(content(file.read_bytes()))

    return damage


def replace_by_folders(folder: Path) -> None:
    for file in (folder / "train" / "cat").iterdir():
        file.unlink()
        file.mkdir()
        photograph().save(file / "inside.jpg")


BAD: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "one class": (one_class, 2, r"train has images of 1 class only \(cat\)"),
    "no train": (no_train, 4, "has folders learning, val, but it needs train/CLASS"),
    "class in val alone": (new_class, 2, "a class that the training part lacks: class emu"),
    "empty files": (damaged(lambda content: b""), 4, r"train/cat/\d.jpg cannot be decoded: the file is empty"),
    "text": (damaged(lambda content: b"no image"), 4, r"train/cat/\d.jpg cannot be decoded: unknown image format"),
    "cut off": (damaged(lambda content: content[:-200]), 4, r"cat/\d.jpg cannot be decoded: image file is truncated"),
}  # fmt: skip


@pytest.mark.parametrize("stream", ["1e9", "0"], ids=["memory", "streamed"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_gives_one_error_line_and_no_result(
    name: str, stream: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, code, message = BAD[name]
    folder = folder_of(tmp_path / "set")
    spoil(folder)
    argv = ["run", "optimizer=sgd", "model=mlp", "data=imagefolder", f"data.path={folder}", "data.image_size=16"]
    argv += [f"data.in_memory_bytes={stream}", "data.validation=0.2", "data.workers=1", "tracker=none", "threads=1"]
    with pytest.raises(SystemExit) as caught:
        app.main([*argv, "steps=4", "batch_size=12", "--results-dir", str(tmp_path / "results")])
    assert caught.value.code == code
    said = capfd.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("optbench: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert "Traceback" not in said
    assert not list((tmp_path / "results").rglob("result.json"))


def test_a_folder_named_like_an_image_is_searched(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set")
    replace_by_folders(folder)
    settings = ("data=imagefolder", f"data.path={folder}", "data.image_size=16", "data.validation=0.2")
    assert sum(source(*settings).load(tmp_path, CPU, SEEDS).sizes.values()) == 24


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "set")
    file = folder / "train" / "cat" / "0.jpg"
    file.unlink()
    file.symlink_to(folder / "gone.jpg")
    with pytest.raises(MissingError, match=r"train/cat/0\.jpg"):
        source("data=imagefolder", f"data.path={folder}", "data.image_size=16").load(tmp_path, CPU, SEEDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_interrupts_the_run(tmp_path: Path, number: signal.Signals) -> None:
    """Terminals and Slurm signal the whole group; workers must live until the step is complete."""
    folder = folder_of(tmp_path / "set")
    results = tmp_path / "results"
    settings = ["optimizer=sgd", "model=mlp", "data=imagefolder", f"data.path={folder}", "data.image_size=16"]
    settings += [*STREAM, "data.workers=2", "data.validation=0.2", "tracker=none", "threads=1", "batch_size=8"]
    argv = [sys.executable, "-m", "optbench", "run", *settings, "steps=100000", "--results-dir", str(results)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not any(file.stat().st_size for file in results.rglob("metrics.jsonl")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)[1].decode()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert not list(results.rglob("result.json"))
    assert list(results.rglob("checkpoints/*"))
