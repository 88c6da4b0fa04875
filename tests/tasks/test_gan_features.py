"""Features of images: accuracy of their classifiers, and errors that name what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from learn_digits_classifier import accuracy, embedded
from real_data import real

from optbench import config
from optbench.data.in_memory import InMemoryImages
from optbench.errors import ConfigError, MissingError
from optbench.tasks.generative.cifar_resnet import build
from optbench.tasks.generative.digits_classifier import FEATURES, WEIGHTS, load
from optbench.tasks.generative.features import features_for
from optbench.tasks.generative.grid import GAP, GREY, grid


def test_the_digits_classifier_is_small_and_accurate() -> None:
    assert WEIGHTS.stat().st_size < 40_000
    data, model = embedded(), load()
    assert accuracy(model, data, "validation") > 0.97
    assert accuracy(model, data, "test") > 0.98


@pytest.mark.parametrize(
    ("shape", "metric"),
    [((1, 8, 8), "frechet_digits"), ((3, 8, 8), "frechet_pixels"), ((3, 32, 32), "frechet_pixels")],
)
def test_auto_depends_only_on_the_images(shape: tuple[int, ...], metric: str) -> None:
    assert features_for("auto", shape).metric == metric


def test_features_refuse_other_images() -> None:
    with pytest.raises(ConfigError, match="resnet20 needs images of 3x32x32, but this data has 1x8x8"):
        features_for("resnet20", (1, 8, 8))


def test_digits_features_are_the_classifiers_output() -> None:
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)
    found = features_for("digits", (1, 8, 8)).build(None)(images)
    assert found.shape == (5, FEATURES)
    assert torch.equal(found, load()(images.float() / 255))


def test_pixels_are_averaged_over_areas() -> None:
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    images[0, 0, 0, :2] = 255
    found = features_for("pixels", (1, 16, 16)).build(None)(images)
    assert found.shape == (1, 64)
    assert found[0].tolist() == [0.5] + [0.0] * 63


@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_missing_weights_are_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTBENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(MissingError, match=f"{tmp_path}/resnet-cifar10-weights/{name}") as caught:
        features_for(name, (3, 32, 32)).build(None)
    assert caught.value.exit_code == 4


def test_weights_with_another_hash_are_refused(tmp_path: Path) -> None:
    (tmp_path / "resnet20-12fca82f.th").write_bytes(b"something else")
    with pytest.raises(MissingError, match="its SHA-256 differs"):
        features_for("resnet20", (3, 32, 32)).build(str(tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed")
def test_inception_names_its_missing_package() -> None:
    with pytest.raises(MissingError, match="torch-fidelity"):
        features_for("inception", (3, 32, 32)).build(None)


@pytest.mark.parametrize("layers", [20, 56])
def test_the_cifar_network_has_the_papers_size(layers: int) -> None:
    """Count 0.27 and 0.85 million parameters (He et al., 2016, table 6)."""
    from optbench.tasks.generative.cifar_resnet import CifarResNet

    parameters = sum(p.numel() for p in CifarResNet((layers - 2) // 6).parameters())
    assert round(parameters / 1e6, 2) == {20: 0.27, 56: 0.85}[layers]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "least"), [("resnet20-12fca82f.th", 0.90), ("resnet56-4bfd9763.th", 0.92)])
def test_the_cifar_network_classifies_with_the_published_weights(file: str, least: float) -> None:
    from optbench.sessions.assemble import assemble

    folder = real("resnet-cifar10-weights")
    try:
        data = assemble(config.load(["data=cifar10", "data.verify=off", "model=mlp", "device=cpu"])).data
    except MissingError as error:
        pytest.skip(str(error).splitlines()[0])
    state = torch.load(folder / file, map_location="cpu", weights_only=True)["state_dict"]
    model = build(int(file[6:8]), state).eval()
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    assert isinstance(data, InMemoryImages)
    right = 0
    with torch.no_grad():
        for batch in data.eval_batches("test", 250, 1000):
            images = batch["inputs"] * data.std + data.mean
            right += int((model.linear(model((images - mean) / std)).argmax(1) == batch["labels"]).sum())
    assert right / 1000 > least


def test_a_grid_is_in_reading_order() -> None:
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(-1, 1, 2, 2)
    whole = grid(images)
    side = 2 + GAP
    assert whole.shape[0] == whole.shape[1] >= 256
    assert whole.shape[2] == 3
    times = len(whole) // (2 * side)
    assert whole[:: side * times, :: side * times, 0].tolist() == [[0, 1], [2, 3]]
    assert (whole[2 * times : side * times] == GREY).all()
    assert grid(torch.zeros(64, 3, 64, 64, dtype=torch.uint8)).shape == (8 * (64 + GAP), 8 * (64 + GAP), 3)
