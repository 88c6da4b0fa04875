"""Data sets on disk: small ones made here, real ones if available."""

from __future__ import annotations

import gzip
import inspect
import os
import pickle
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from real_data import real

from optbench import config
from optbench.config import imports
from optbench.contracts import Seeds
from optbench.data.cifar import read_pickle
from optbench.data.download import download, unpack
from optbench.data.fashion_mnist import SYSTEM_FOLDER, FashionMnist
from optbench.errors import ConfigError, MissingError, OptbenchError

CPU = torch.device("cpu")
SEEDS = Seeds(init=1, order=2, augment=3)
NAMES = config.options([config.packaged_folder()], "data")
STREAM = ("data.in_memory_bytes=0",)


def source(*overrides: str) -> Any:
    choice = config.load(overrides).data
    return imports.load(choice.target)(**choice.settings)


def write_images(folder: Path, counts: dict[str, int], classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    from PIL import Image

    random = np.random.default_rng(0)
    for part, count in counts.items():
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (40 + number, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_yaml_file_gives_every_argument_of_its_source(name: str) -> None:
    choice = config.load([f"data={name}"]).data
    parameters = inspect.signature(imports.load(choice.target)).parameters
    assert set(choice.settings) == set(parameters)
    assert {"title", "source", "licence", "embedded", "sizes", "valid", "target"} <= set(choice.about)


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_is_one_clear_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.data.fashion_mnist.SYSTEM_FOLDER", tmp_path / "none")
    made = source(f"data={name}")
    if config.load([f"data={name}"]).data.about["embedded"]:
        assert made.load(tmp_path, CPU, SEEDS).sizes
        return
    with pytest.raises(OptbenchError) as caught:
        made.load(tmp_path, CPU, SEEDS)
    assert caught.value.exit_code in (2, 4)
    assert caught.value.hint
    assert len(str(caught.value).splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stream", [(), STREAM, (*STREAM, "data.workers=0")], ids=["memory", "streamed", "no-workers"])
def test_image_folders(tmp_path: Path, stream: tuple[str, ...]) -> None:
    folder = write_images(tmp_path / "set", {"train": 12, "val": 3})
    made = source("data=imagefolder", f"data.path={folder}", "data.image_size=16", "data.validation=0.25", *stream)
    data = made.load(tmp_path, CPU, SEEDS)
    assert data.sizes == {
        "train": 18,
        "validation": 6,
        "test": 6,
    }  # val/ is the test part, validation comes from train/
    straight = list(islice(data.train_batches(8), 6))
    resumed = list(islice(data.train_batches(8, first_step=4), 2))
    for a, b in zip(straight[4:], resumed, strict=True):
        assert torch.equal(a["inputs"], b["inputs"])
        assert torch.equal(a["labels"], b["labels"])
    assert straight[0]["inputs"].shape == (8, 3, 16, 16)
    seen = torch.cat([batch["labels"] for batch in data.eval_batches("test", 4)])
    assert seen.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set", {"train": 12, "val": 3, "test": 2})
    batches = []
    for workers in (0, 2):
        made = source(
            "data=imagefolder",
            f"data.path={folder}",
            "data.image_size=16",
            f"data.workers={workers}",
            "data.augment.mixup=0.5",
            *STREAM,
        )
        data = made.load(tmp_path, CPU, SEEDS)
        assert data.sizes == {"train": 24, "validation": 6, "test": 4}
        batches.append(list(islice(data.train_batches(5), 4)))
    for a, b in zip(*batches, strict=True):
        assert torch.equal(a["inputs"], b["inputs"])
        assert torch.equal(a["labels"], b["labels"])
    ids = {config.load(["data=imagefolder", f"data.workers={n}"]).run_id for n in (0, 2)}
    assert len(ids) == 1


def test_a_streamed_set_refuses_crop_pad(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set", {"train": 4, "val": 2})
    with pytest.raises(ConfigError, match="crop_pad"):
        source("data=imagefolder", f"data.path={folder}", *STREAM, "data.augment.crop_pad=2").load(tmp_path, CPU, SEEDS)


@pytest.mark.parametrize("stream", [(), (*STREAM, "data.workers=0"), STREAM], ids=["memory", "streamed", "workers"])
def test_a_damaged_image_is_named(tmp_path: Path, stream: tuple[str, ...]) -> None:
    folder = write_images(tmp_path / "set", {"train": 4, "val": 2})
    for file in (folder / "train" / "cat").iterdir():
        file.write_bytes(b"no image")
    made = source("data=imagefolder", f"data.path={folder}", "data.image_size=16", *stream)
    with pytest.raises(MissingError, match=r"train/cat/\d.png cannot be decoded") as caught:
        next(made.load(tmp_path, CPU, SEEDS).train_batches(8))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("counts", "classes", "expected"),
    [
        ({"train": 4, "val": 2}, ("cat",), "images of 1 class only"),
        ({"train": 0, "val": 2}, ("cat", "dog"), "no image files"),
        ({"train": 1}, ("cat", "dog"), "2 training samples cannot give"),
        ({"train": 2}, ("cat", "dog"), "data.validation=0.1: cannot take 0"),
    ],
)
def test_unusable_folders_are_named(
    tmp_path: Path, counts: dict[str, int], classes: tuple[str, ...], expected: str
) -> None:
    folder = write_images(tmp_path / "set", counts, classes)
    with pytest.raises(ConfigError, match=expected):
        source("data=imagefolder", f"data.path={folder}").load(tmp_path, CPU, SEEDS)


def test_a_class_missing_from_training_is_named(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set", {"train": 4, "val": 2})
    (folder / "val" / "emu").mkdir()
    (folder / "val" / "cat" / "0.png").rename(folder / "val" / "emu" / "0.png")
    with pytest.raises(ConfigError, match="emu"):
        source("data=imagefolder", f"data.path={folder}").load(tmp_path, CPU, SEEDS)


def saved_set(folder: Path) -> Path:
    import datasets
    from PIL import Image

    random = np.random.default_rng(0)
    rows = {
        "picture": [Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)) for _ in range(20)],
        "kind": [n % 2 for n in range(20)],
    }
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=["a", "b"])})
    rows_set = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": rows_set, "test": rows_set.select(range(6))}).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize("stream", [(), (*STREAM, "data.workers=0")], ids=["memory", "streamed"])
def test_sets_of_the_datasets_library(tmp_path: Path, stream: tuple[str, ...]) -> None:
    folder = saved_set(tmp_path / "set")
    data = source("data=hf", f"data.path={folder}", "data.image_size=16", *stream).load(tmp_path, CPU, SEEDS)
    assert data.sizes == {"train": 18, "validation": 2, "test": 6}
    assert data.classes == 2
    assert next(data.train_batches(4))["inputs"].shape == (4, 3, 16, 16)
    with pytest.raises(ConfigError, match="picture, kind"):
        source("data=hf", f"data.path={folder}", "data.label_column=label").load(tmp_path, CPU, SEEDS)
    with pytest.raises(ConfigError, match=r"data\.train_split=all"):
        source("data=hf", f"data.path={folder}", "data.train_split=all").load(tmp_path, CPU, SEEDS)


def test_a_hub_name_without_a_network_is_exit_4(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from optbench.data.hf import HuggingFace; "
        "from optbench import config; from optbench.config import imports; from optbench.contracts import Seeds; "
        "c = config.load(['data=hf', 'data.path=nobody/nothing']).data; "
        "imports.load(c.target)(**c.settings).load(Path('.'), torch.device('cpu'), Seeds(1, 2, 3))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert "MissingError: data=hf data.path=nobody/nothing cannot be loaded" in done.stderr


def write_cifar10(root: Path) -> Path:
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        rows = {"data": random.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [n % 10 for n in range(20)]}
        (folder / name).write_bytes(pickle.dumps(rows, protocol=2))
    return folder


def test_cifar_other_than_the_published_is_refused_or_marked(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(MissingError, match=r"data_batch_1: MD5 .* \(and 5 more\)"):
        source("data=cifar10").load(tmp_path, CPU, SEEDS)
    data = source("data=cifar10", "data.verify=off", "data.validation=30").load(tmp_path, CPU, SEEDS)
    assert data.verified is False
    assert data.sizes == {"train": 70, "validation": 30, "test": 20}
    assert len(source("data=cifar10").verify(tmp_path)) == 6


class RunsCode:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil",)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps({"data": RunsCode()})])
def test_a_pickle_that_is_not_cifar_is_named_and_runs_no_code(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data_batch_1"
    file.write_bytes(content)
    with pytest.raises(MissingError, match="data_batch_1 is not a CIFAR file"):
        read_pickle(file)
    assert not Path("evil").exists()


def write_idx(folder: Path, compressed: bool) -> None:
    folder.mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 10)):
        head = b"".join(n.to_bytes(4, "big") for n in (0x803, count, 5, 5))
        pixels = np.random.default_rng(count).integers(0, 256, count * 25, dtype=np.uint8).tobytes()
        labels = bytes(n % 10 for n in range(count))
        for name, content in (
            (f"{part}-images-idx3-ubyte", head + pixels),
            (f"{part}-labels-idx1-ubyte", (0x801).to_bytes(4, "big") + count.to_bytes(4, "big") + labels),
        ):
            path = folder / (f"{name}.gz" if compressed else name)
            path.write_bytes(gzip.compress(content) if compressed else content)


@pytest.mark.parametrize(("folder", "compressed"), [("fashion_mnist", True), ("FashionMNIST/raw", False)])
def test_fashion_mnist_layouts(tmp_path: Path, folder: str, compressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.data.fashion_mnist.SYSTEM_FOLDER", tmp_path / "none")
    write_idx(tmp_path / folder, compressed)
    with pytest.raises(MissingError, match="differs from the published data"):
        source("data=fashion_mnist").load(tmp_path, CPU, SEEDS)
    data = source("data=fashion_mnist", "data.verify=off", "data.validation=10").load(tmp_path, CPU, SEEDS)
    assert data.sizes == {"train": 30, "validation": 10, "test": 10}
    assert data.verified is False


def test_a_damaged_gzip_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.data.fashion_mnist.SYSTEM_FOLDER", tmp_path / "none")
    write_idx(tmp_path / "fashion_mnist", True)
    file = tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(MissingError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read"):
        source("data=fashion_mnist", "data.verify=off", "data.validation=10").load(tmp_path, CPU, SEEDS)


def test_downloads_are_complete_or_absent(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.write_bytes(b"abc" * 1000)
    seen: list[float] = []
    md5 = "d9cd1a4ae6b5cfc1fb2f06b1d9df5c0f"
    with pytest.raises(MissingError, match="does not have the published MD5"):
        download(origin.as_uri(), tmp_path / "new" / "file", md5, lambda what, done: seen.append(done), name="x")
    assert list((tmp_path / "new").iterdir()) == []
    import hashlib

    download(
        origin.as_uri(),
        tmp_path / "new" / "file",
        hashlib.md5(origin.read_bytes()).hexdigest(),
        lambda what, done: seen.append(done),
        name="x",
    )
    assert (tmp_path / "new" / "file").read_bytes() == origin.read_bytes()
    assert seen[-1] == 1.0
    with pytest.raises(MissingError, match="cannot be downloaded"):
        download("http://127.0.0.1:9/none", tmp_path / "other", md5, lambda what, done: None, name="x")
    with pytest.raises(MissingError, match="cannot be unpacked"):
        unpack(origin, tmp_path)


@pytest.mark.skipif(not SYSTEM_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_verified(tmp_path: Path) -> None:
    made = source("data=fashion_mnist")
    assert isinstance(made, FashionMnist)
    data = made.load(tmp_path, CPU, SEEDS)
    assert data.verified
    assert data.sizes == {"train": 55000, "validation": 5000, "test": 10000}


@pytest.mark.slow
def test_the_real_cifar10_restored(tmp_path: Path) -> None:
    restore = real("cifar10", "restore.py")
    subprocess.run([sys.executable, str(restore), str(tmp_path)], check=True)
    data = source("data=cifar10", "data.verify=off").load(tmp_path, CPU, SEEDS)
    assert data.sizes == {"train": 45000, "validation": 5000, "test": 10000}
    batch = next(data.train_batches(512))
    assert set(batch["labels"].tolist()) == set(range(10))


def test_real_photographs_in_folders() -> None:
    folder = real("tiny-imagenet-10")
    made = source("data=imagefolder", f"data.path={folder}", *STREAM)
    data = made.load(folder, CPU, SEEDS)
    assert data.sizes == {"train": 4500, "validation": 500, "test": 500}
    assert data.classes == 10
    assert next(data.train_batches(16))["inputs"].shape == (16, 3, 64, 64)
