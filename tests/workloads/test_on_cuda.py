"""Every workload on CUDA: bf16, compiled, and the largest micro-batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config
from optbench.sessions import assemble, micro_batch
from optbench.sessions.session import execute
from optbench.training.seeding import seeds_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
MODELS = config.options([config.packaged_folder()], "model")
COMMON = ("device=cuda", "tracker=none", "batch_size=32", "eval_train_samples=256")
FUNCTIONS = [m for m in MODELS if config.load([f"model={m}"]).model.about["reads"] == "function"]


def completed(tmp_path: Path, *overrides: str) -> Mapping[str, Any]:
    """Run to the end and return the result."""
    result = execute(config.load([*COMMON, *overrides]), tmp_path).result
    assert result["status"] == "completed", result["reason"]
    return result


@pytest.mark.parametrize("model", MODELS)
def test_a_model_trains_in_bf16(model: str, tmp_path: Path) -> None:
    result = completed(tmp_path, f"model={model}", "steps=60", "precision=bf16")
    assert all(value is not None for value in result["final"].values())
    assert sum(result["seconds"].values()) == pytest.approx(result["wall_seconds"], rel=0.05)


@pytest.mark.parametrize("model", [model for model in MODELS if model not in FUNCTIONS])
def test_a_model_trains_compiled(model: str, tmp_path: Path) -> None:
    result = completed(tmp_path, f"model={model}", "steps=30", "precision=bf16", "compile=true")
    assert result["seconds"]["compile"] > 0.5


@pytest.mark.parametrize("model", MODELS)
def test_cpu_and_cuda_agree_on_the_first_loss(model: str, tmp_path: Path) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        loaded = config.load([f"model={model}", "batch_size=16", f"device={device}"])
        place, seeds = torch.device(device), seeds_of(0)
        assemble.prepare(loaded, place, seeds)
        data = assemble.load_data(loaded, place, seeds)
        assemble.prepare(loaded, place, seeds)
        trainer = assemble.build_trainer(loaded, data, place, seeds, None)
        turn = next(iter(trainer.task.turns(next(data.train_batches(16)), 0)))
        trainer.task.players[turn.player].eval()
        total, count = turn.loss(turn.batch)
        losses[device] = float(total) / float(count)
    if len(trainer.task.players) == 1:  # a generator's noise is drawn on its device
        assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


@pytest.mark.parametrize("model", ["vit", "bert", "t5", "gpt"])
def test_attention_has_a_fused_kernel(model: str, tmp_path: Path) -> None:
    result = completed(tmp_path, f"model={model}", "steps=5", "precision=bf16")
    assert set(result["attention"]) & {"flash", "efficient", "cudnn"}


def test_channels_last_learns_the_same(tmp_path: Path) -> None:
    settings = ["model=resnet", "model.width=16", "steps=100"]
    plain, reordered = completed(tmp_path, *settings), completed(tmp_path, *settings, "channels_last=true")
    assert reordered["final"]["val_loss"] == pytest.approx(plain["final"]["val_loss"], rel=0.2)


def test_the_largest_micro_batch_fits(tmp_path: Path) -> None:
    loaded = config.load(["model=bert", "model.size=small", "batch_size=512", "device=cuda"])
    device, seeds = torch.device("cuda"), seeds_of(0)
    assemble.prepare(loaded, device, seeds)
    data = assemble.load_data(loaded, device, seeds)

    def make() -> assemble.Trainer:
        return assemble.build_trainer(loaded, data, device, seeds, None)

    need = micro_batch.measure_need(make)
    limit = need.bytes_at(512, 100)
    chosen = micro_batch.largest_micro_batch(make, 512, limit, device)
    assert 32 <= chosen <= 128
    assert micro_batch.fits(make, 512, -(-512 // chosen), limit)
    small = dataclasses.replace(loaded, micro_batch="auto", memory_limit=limit, steps=2, eval_every=2, tracker="none")
    result = execute(small, tmp_path)
    assert result.run["micro_batch"] == chosen
    assert result.result["bytes"]["peak_allocated"] <= 1.2 * limit


# -- waits: torch itself raises an error for them ----------------------------------------------------------------------

STEPS = [("fp16", model, ()) for model in MODELS] + [("bf16", model, ()) for model in MODELS]
STEPS += [("fp32", "gpt", (f"optimizer={name}",)) for name in ("sam", "sophia_g", "sophia_h", "adahessian", "kfac")]
STEPS += [("fp32", "vit", ("micro_batch=5", "clip=adaptive"))]
STEPS += [("fp32", "vit", ("data.augment.crop_pad=1", "data.augment.flip=true", "data.augment.cutout=2"))]
STEPS += [("fp32", "vit", ("data.augment.mixup=0.4", "data.augment.cutmix=1.0"))]


@pytest.mark.parametrize(("precision", "model", "overrides"), STEPS, ids=str)
def test_a_step_waits_for_nothing_on_cuda(precision: str, model: str, overrides: tuple[str, ...]) -> None:
    loaded = config.load([f"model={model}", "batch_size=16", "device=cuda", f"precision={precision}", *overrides])
    objects = assemble.assemble(loaded)
    trainer = objects.trainer
    for module in trainer.modules:
        module.train()
    batches = objects.data.train_batches(16)

    def steps(count: int) -> None:
        for _ in range(count):
            trainer.take_turns(next(batches), recording=False)
            trainer.progress.step += 1

    steps(3)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
