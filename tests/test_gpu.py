"""Runs on CUDA: low precision, the event clock, peak memory, resume."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Twice, rows_of, same_records

from optbench import config
from optbench.errors import ConfigError, Interrupted
from optbench.sessions.session import Session, execute
from optbench.training.clock import BACKWARD, FORWARD, OTHER, CudaClock, clock_for
from optbench.training.device import configure_torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
CUDA = [*QUICK, "device=cuda"]
CUDA_VOLATILE = {"peak_allocated_bytes", "peak_reserved_bytes", "evaluation_peak_allocated_bytes"}


@pytest.mark.parametrize("optimizer", ["lion", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_a_model_learns_at_every_precision(tmp_path: Path, optimizer: str, precision: str) -> None:
    overrides = [
        *CUDA,
        "model=vit",
        f"optimizer={optimizer}",
        f"precision={precision}",
        "steps=300",
        "optimizer.lr=1e-3",
    ]
    ended = execute(config.load(overrides), tmp_path)
    assert ended.result["status"] == "completed"
    assert ended.result["final"]["val_metric"] > 0.3


def test_compiled_model_and_optimizer(tmp_path: Path) -> None:
    overrides = [*CUDA, "model=vit", "optimizer=lion", "optimizer.engine=compiled", "compile=true", "steps=60"]
    ended = execute(config.load(overrides), tmp_path)
    assert ended.result["status"] == "completed"
    assert ended.run["engine"] == "compiled"
    assert ended.result["seconds"]["compile"] > 0.5
    assert ended.result["throughput"]["step_ms_median"] < 100


def test_the_event_clock_measures_the_device() -> None:
    clock = CudaClock(torch.device("cuda"))
    a = torch.randn(4096, 4096, device="cuda")
    torch.cuda.synchronize()
    clock.begin()
    clock.to(FORWARD)
    for _ in range(20):
        a @ a
    clock.to(BACKWARD)
    for _ in range(40):
        a @ a
    clock.to(OTHER)
    clock.end_step()
    assert clock.train_seconds == 0  # no times, and no synchronisation, before `resolve`
    clock.resolve()
    seconds = clock.seconds()
    assert seconds["backward"] / seconds["forward"] == pytest.approx(2, rel=0.3)
    assert list(clock.step_seconds) == [pytest.approx(clock.train_seconds)]
    assert sum(seconds.values()) == pytest.approx(clock.wall_seconds, rel=0.1)


@pytest.mark.parametrize(("precision", "low", "high"), [("fp32", 0.0, 3e-6), ("tf32", 3e-5, 5e-3)])
def test_fp32_is_exact_and_tf32_is_not(precision: str, low: float, high: float) -> None:
    """Both products and convolutions, against float64; TF32 rounds to 10 bits, 5e-4."""
    configure_torch(config.load([f"precision={precision}"]), torch.device("cuda"))
    x, w = torch.randn(64, 64, 32, 32, device="cuda"), torch.randn(64, 64, 3, 3, device="cuda")
    a = torch.randn(1024, 1024, device="cuda")
    for found, exact in (
        (torch.conv2d(x, w), torch.conv2d(x.double(), w.double())),
        (a @ a, a.double() @ a.double()),
    ):
        assert low <= float((found - exact).norm() / exact.norm()) < high


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_a_run_on_the_second_device_stays_there(tmp_path: Path) -> None:
    """Its clock measures work on that device, and nothing is allocated on the first."""
    first, second = torch.device("cuda:0"), torch.device("cuda:1")
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(first)
    torch.cuda.reset_peak_memory_stats(first)
    result = execute(config.load([*QUICK, "device=cuda:1", "model=vit", "steps=100"]), tmp_path).result
    assert torch.cuda.max_memory_allocated(first) == before
    assert result["bytes"]["peak_allocated"] > result["bytes"]["parameters"]
    configure_torch(config.load([]), second)
    clock, a = clock_for(second), torch.randn(8192, 8192, device=second)
    torch.cuda.set_device(first)  # as a user's own code may
    clock.begin()
    clock.to(FORWARD)
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    clock.to(OTHER)
    clock.resolve()
    assert clock.seconds()["forward"] == pytest.approx(time.perf_counter() - began, rel=0.2)


def test_phases_sum_to_wall_time_and_peaks_are_recorded(tmp_path: Path) -> None:
    result = execute(config.load([*CUDA, "model=vit", "steps=300"]), tmp_path).result
    assert sum(result["seconds"].values()) == pytest.approx(result["wall_seconds"], rel=0.03)
    assert result["seconds"]["other"] <= 0.02 * result["wall_seconds"]
    assert result["bytes"]["peak_reserved"] >= result["bytes"]["peak_allocated"] > result["bytes"]["parameters"]
    rows = [
        json.loads(line) for line in (tmp_path / "runs" / result["run_id"] / "metrics.jsonl").read_text().splitlines()
    ]
    assert all(row["peak_allocated_bytes"] > 0 for row in rows if row["split"] == "train")


def test_a_huge_evaluation_leaves_the_peak_of_training(tmp_path: Path) -> None:
    settings = [*CUDA, "model=resnet", "batch_size=8", "steps=4", "eval_every=2"]
    small, huge = (
        execute(config.load([*settings, f"eval_batch_size={size}"]), tmp_path).result["bytes"] for size in (8, 512)
    )
    assert huge["peak_allocated"] == pytest.approx(small["peak_allocated"], rel=0.02)
    assert huge["evaluation_peak_allocated"] > 2 * small["evaluation_peak_allocated"]
    assert huge["peak_reserved"] >= huge["evaluation_peak_allocated"] > huge["peak_allocated"]


def test_fitting_a_micro_batch_leaves_the_peaks(tmp_path: Path) -> None:
    settings = [*CUDA, "model=resnet", "batch_size=64", "steps=4"]
    plain, fitted = (
        execute(config.load([*settings, f"micro_batch={size}"]), tmp_path).result["bytes"] for size in ("64", "auto")
    )
    assert fitted["peak_allocated"] == pytest.approx(plain["peak_allocated"], rel=0.02)
    assert fitted["peak_reserved"] <= 1.2 * plain["peak_reserved"]


def test_the_driver_tells_the_free_memory_that_torch_sees() -> None:
    import os

    from optbench.sweeps.executors.machine import device_free_bytes

    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    told, seen = device_free_bytes(name), torch.cuda.mem_get_info(0)[0]
    assert told is not None and abs(told - seen) < 2**30


def test_resume_on_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*CUDA, "model=vit", "model.drop_path=0.2", "steps=40", "record_every=5", "deterministic=true"]
    uninterrupted = execute(config.load(settings), tmp_path / "uninterrupted")
    on_step = Session._on_step

    def interrupted(session: Session, trainer: Any) -> None:
        session.signals.heard = [15] if trainer.progress.step == 17 and not session.resumed_from else []
        on_step(session, trainer)

    monkeypatch.setattr(Session, "_on_step", interrupted)
    with pytest.raises(Interrupted):
        execute(config.load(settings), tmp_path / "interrupted")
    ended = execute(config.load(settings), tmp_path / "interrupted")
    assert ended.result["resumed_from_steps"] == [17]
    assert ended.result["weights_sha256"] == uninterrupted.result["weights_sha256"]
    found = [
        same_records([json.loads(line) for line in (e.folder / "metrics.jsonl").read_text().splitlines()])
        for e in (uninterrupted, ended)
    ]
    for rows in found:
        for row in rows:
            for name in CUDA_VOLATILE:
                row.pop(name, None)
    assert found[0] == found[1]


def test_out_of_memory_is_a_result(tmp_path: Path) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(64 * 2**20 / total)
    try:
        result = execute(config.load([*CUDA, "model=vit", "batch_size=1024", "steps=2"]), tmp_path).result
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result["status"] == "out_of_memory"
    assert "out of memory" in result["reason"]


FIRST_ORDER = [
    name
    for name in config.options([config.packaged_folder()], "optimizer")
    if not config.load([f"optimizer={name}"]).optimizer.about["needs"]
    and "optbench" in config.load([f"optimizer={name}"]).optimizer.about["implementations"]
]


@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("name", [name for name in FIRST_ORDER if name != "psgd_kron"])  # it draws random numbers
def test_our_rules_take_the_same_steps_on_cuda_and_cpu(name: str, engine: str) -> None:
    from optbench.config import imports
    from optbench.contracts import Parameter, Problem
    from optbench.optimizers.core.build import build

    choice = config.load([f"optimizer={name}", "optimizer.impl=optbench"]).optimizer
    if "engine" not in choice.settings and engine == "compiled":
        pytest.skip("only one engine")
    settings = {**choice.settings, **choice.about.get("exact", {})}
    ends = {}
    for device in ("cpu", "cuda"):
        random = torch.Generator().manual_seed(0)
        shapes = {"bias": (7,), "matrix": (5, 6), "convolution": (4, 4, 1, 1)}
        start = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes.values()]
        thetas = [value.to(device).requires_grad_() for value in start]
        parameters = tuple(Parameter(role, theta, role) for role, theta in zip(shapes, thetas, strict=True))
        chosen = {**settings, **({"engine": engine if device == "cuda" else "eager"} if "engine" in settings else {})}
        optimizer = build(imports.load(choice.target), chosen, choice.implementation, Problem(parameters), [])
        getattr(optimizer, "warm_up", lambda: None)()
        for _ in range(12):
            for theta in thetas:
                theta.grad = (torch.randn(theta.shape, generator=random, dtype=torch.float64) + 0.5).to(device)
            optimizer.step()
        ends[device] = [theta.detach().cpu() for theta in thetas]
    for here, there in zip(ends["cpu"], ends["cuda"], strict=True):
        torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-11)


# -- CUDA graphs -------------------------------------------------------------------------------------------------------

GRAPHED = {
    "vit": ("model=vit", "model.drop_path=0.2", "clip=global_norm"),
    "vit in bf16": ("model=vit", "precision=bf16", "clip=adaptive"),
    "resnet": ("model=resnet", "model.width=16", "optimizer=momentum", "clip=agc", "data.augment.flip=true"),
    "micro-batches": ("model=mlp", "micro_batch=20", "optimizer=sgd"),
    "gpt": ("model=gpt", "data=pydocs", "batch_size=16", "optimizer=adam"),
    "bert": ("model=bert", "data=pydocs", "batch_size=16"),
    "t5": ("model=t5", "data=pydocs", "batch_size=16"),
    "unet": ("model=unet", "model.width=16", "batch_size=16"),
    "two players": ("model=dcgan", "optimizer=adam", "batch_size=32"),
    "gradient penalty": ("model=wgan_gp", "optimizer=adam", "batch_size=16"),
    "a function": ("model=quadratic", "data=noise", "optimizer=nesterov"),
    "compiled": ("model=vit", "compile=true"),
    "deterministic": ("model=vit", "deterministic=true"),
    "a rule": ("model=vit", "optimizer=lion"),
    "a compiled rule": ("model=vit", "optimizer=adamw", "optimizer.impl=optbench", "optimizer.engine=compiled"),
    "sums in a compiled rule": ("model=vit", "optimizer=lamb", "optimizer.engine=compiled"),
    "matrices": ("model=vit", "optimizer=muon"),
}
FEW = ("steps=40", "record_every=10", "eval_every=20", "eval_train_samples=256")


@pytest.mark.parametrize("name", GRAPHED)
def test_a_replayed_run_is_the_usual_one_to_rounding(name: str, tmp_path: Path) -> None:
    settings = [*CUDA, *FEW, *GRAPHED[name]]
    ends = [execute(config.load([*settings, f"cuda_graph={value}"]), tmp_path) for value in ("true", "null")]
    assert [end.result["status"] for end in ends] == ["completed"] * 2
    for ours, theirs in zip(*map(rows_of, ends), strict=True):
        for column in [column for column in ours if column.endswith("train_loss")]:
            assert ours[column] == pytest.approx(theirs[column], rel=0.05, abs=0.05), column
    assert ends[0].result["gradient_evaluations"] == ends[1].result["gradient_evaluations"]


def test_a_replayed_run_resumes_bit_for_bit_on_cuda(twice: Twice) -> None:
    loaded = config.load([*CUDA, *FEW, "model=vit", "model.drop_path=0.2", "deterministic=true", "cuda_graph=true"])
    twice(loaded, 6, 17)


def test_a_small_network_is_faster_by_a_graph(tmp_path: Path) -> None:
    settings = [*CUDA, "model=vit", "steps=400", "record_every=200", "eval_every=400"]
    ends = [execute(config.load([*settings, f"cuda_graph={value}"]), tmp_path) for value in ("true", "null")]
    replayed, usual = (end.result["throughput"]["step_ms_median"] for end in ends)
    assert replayed < 0.8 * usual


def test_a_step_that_waits_cannot_be_captured_on_cuda(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "def loss(model, batch):\n"
        "    found = torch.nn.functional.cross_entropy(model(batch['inputs']), batch['labels'])\n"
        "    return found * (2 if found.item() > 0 else 1)\n"
        "loss.capturable = True\n"
    )
    with pytest.raises(ConfigError, match="the step cannot be captured"):
        execute(config.load([*CUDA, *FEW, f"task={tmp_path / 'own.py'}:loss", "cuda_graph=true"]), tmp_path)
