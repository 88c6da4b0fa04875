"""Pictures of a task at evaluations: PNG files and images of the tracker. Attention kernels in run.json."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from optbench import config
from optbench.records import Record, Split
from optbench.sessions.session import execute
from optbench.store import RunFolder
from optbench.trackers.wandb import Tracker
from optbench.training.attention import KernelRecorder, select_kernel

GAN = ["model=gan", "batch_size=8", "steps=4", "eval_every=2", "threads=1", "tracker=none"]
RECORD = Record(
    3, 24, 3, Split.VALIDATION, 0.1, 0.2, {"val_loss": 1.0}, pictures={"generated": np.zeros((4, 5, 3), "u1")}
)


def test_pictures_are_files_and_not_part_of_the_row(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    path = RunFolder(tmp_path, "study", "run").write_picture
    (tmp_path / "study" / "run").mkdir(parents=True)
    file = path("generated", 7, pixels)
    assert file.name == "generated-step-000000007.png"
    assert np.array_equal(np.asarray(Image.open(file)), pixels)
    assert "generated" not in RECORD.as_row()
    assert "pictures" not in RECORD.as_row()


def test_a_gan_run_writes_a_picture_at_each_evaluation(tmp_path: Path) -> None:
    ended = execute(config.load(GAN), tmp_path)
    files = sorted((ended.folder / "pictures").glob("*.png"))
    assert [file.name for file in files] == ["generated-step-000000002.png", "generated-step-000000004.png"]
    first, second = (np.asarray(Image.open(file)).astype(int) for file in files)
    assert first.shape == second.shape
    assert min(first.shape[:2]) >= 256
    assert np.abs(first - second).max() > 0  # the same noise, other weights


def test_the_tracker_gets_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    logged = []

    class Run:
        def log(self, row: dict) -> None:
            logged.append(row)

    tracker = Tracker(tmp_path, "project")
    tracker.run = Run()
    tracker.log(RECORD)
    assert isinstance(logged[0]["generated"], wandb.Image)
    assert logged[0]["val_loss"] == 1.0


@pytest.mark.parametrize(("model", "expected"), [("vit", ["flash"]), ("mlp", []), ("gpt", ["flash"])])
def test_the_attention_kernel_is_recorded(model: str, expected: list[str], tmp_path: Path) -> None:
    settings = [f"model={model}", "batch_size=4", "steps=2", "threads=1", "tracker=none"]
    assert execute(config.load(settings), tmp_path).result["attention"] == expected


def test_the_attention_kernel_can_be_selected(tmp_path: Path) -> None:
    settings = ["model=vit", "batch_size=4", "steps=2", "threads=1", "tracker=none", "attention=math"]
    assert execute(config.load(settings), tmp_path).result["attention"] == ["math"]
    assert execute(config.load(settings[:-1]), tmp_path).result["attention"] == [
        "flash"
    ]  # and holds for that run alone


def test_the_recorder_sees_the_kernel_that_runs() -> None:
    import torch

    q, mask = torch.randn(1, 2, 8, 4), torch.zeros(8, 8, requires_grad=True)
    attend = torch.nn.functional.scaled_dot_product_attention
    select_kernel(None)
    with KernelRecorder() as plain:
        attend(q, q, q)
    assert plain.kernels == {"flash"}
    with KernelRecorder() as masked:  # the fused kernel has no gradient of the mask
        attend(q, q, q, attn_mask=mask).sum().backward()
    assert masked.kernels == {"math"} and mask.grad is not None
    with KernelRecorder() as cast, torch.autocast("cpu", torch.bfloat16):
        attend(q, q, q.bfloat16())  # of two types until autocast has made them one, which only then fit the kernel
    assert cast.kernels == {"flash"}
