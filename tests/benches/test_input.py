"""`optbench bench input`: both pipelines do the same work. Asserts no times."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from optbench import config
from optbench.benches import input as bench
from optbench.benches.feeding.torchvision import torchvision_batches
from optbench.cli.bench import bench as command
from optbench.errors import ConfigError, MissingError

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two classes of twelve images."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(12):
                pixels = random.integers(0, 256, (24, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    return tmp_path


def settings(folder: Path, *more: str) -> config.RunConfig:
    data = ["data=imagefolder", f"data.path={folder}", "data.image_size=16", "data.validation=0.2", "batch_size=4"]
    return config.load([*data, "device=cpu", "threads=1", *more])


def measured(folder: Path, *more: str, **own: Any) -> dict[str, Any]:
    return bench.measure(settings(folder, *more), **{"images": 8, "rounds": 2, **own})


def test_every_number_of_workers_has_a_row(folder: Path) -> None:
    report = json.loads(json.dumps(measured(folder, workers="0, 1")))
    assert [row["workers"] for row in report["rows"]] == [0, 1]
    for row in report["rows"]:
        assert row["ours_images_per_second"] > 0 and row["torchvision_images_per_second"] > 0
        assert row["ratio_lowest"] <= row["ratio"] <= row["ratio_highest"]
    assert report["goal_holds"] == all(row["ratio"] >= 1 for row in report["rows"])
    text = bench.lines(report)
    assert len(text) == 5
    assert "16 pixels, batch 4, cpu" in text[0]


@pytest.mark.parametrize("augment", [(), ("data.augment.mixup=0.2", "data.augment.cutmix=1.0", "data.randaugment=5")])
def test_both_pipelines_give_batches_of_the_same_form(folder: Path, augment: tuple[str, ...]) -> None:
    chosen = settings(folder, *augment)
    ours = bench.streamed(chosen, 0, CPU)
    theirs = torchvision_batches(folder / "train", chosen, 0, ours.classes, CPU)
    batches = [list(islice(side, 30)) for side in (ours.train_batches(4), theirs())]
    for mine, other in zip(*batches, strict=True):
        for name in ("inputs", "labels"):
            assert (mine[name].shape, mine[name].dtype) == (other[name].shape, other[name].dtype)
    means = [torch.cat([batch["inputs"] for batch in side]).mean().item() for side in batches]
    assert means[0] == pytest.approx(means[1], abs=0.3)  # both normalise


def test_the_command_accepts_the_benchs_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["workers=0", "images=4", "rounds=1", "data=imagefolder", f"data.path={folder}", "data.image_size=16"]
    overrides += ["data.validation=0.2", "batch_size=4", "threads=1"]
    command("input", overrides, as_json=True)
    seen = json.loads(capsys.readouterr().out)
    assert (seen["rounds"], seen["images"], len(seen["rows"])) == (1, 4, 1)


def test_bad_settings_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="workers=two"):
        measured(folder, workers="two")
    with pytest.raises(ConfigError, match="rounds=0"):
        measured(folder, rounds=0)
    with pytest.raises(ConfigError, match="data=digits is not a folder of image files"):
        bench.measure(config.load(["data=digits"]))
    with pytest.raises(MissingError, match="absent: there is no "):
        measured(tmp_path / "absent")
