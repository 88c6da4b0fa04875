"""The training loop: accumulation, closures, statuses, evaluation weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.clipping import NoClip
from optbench.contracts import Turn
from optbench.sessions.assemble import assemble
from optbench.sessions.session import execute
from optbench.trackers.summary import summary_lines
from optbench.training.clock import Clock
from optbench.training.evaluation import plain_means
from optbench.training.player import ActivePlayer
from optbench.training.seeding import preserve_state

Run = Callable[..., Any]


class MaskedMean(torch.nn.Module):
    """A regression whose loss counts only the masked samples."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)

    def loss(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        errors = (self.linear(batch["x"])[:, 0] - batch["y"]) ** 2
        return (errors * batch["mask"]).sum(), batch["mask"].sum()


def player_of(module: torch.nn.Module, optimizer: Any, **options: Any) -> ActivePlayer:
    settings: dict[str, Any] = {
        "needs": [],
        "precision": "fp32",
        "micro_batch": None,
        "device": torch.device("cpu"),
        "clock": Clock(),
    }
    return ActivePlayer(module, optimizer, NoClip(), **settings | options)


@pytest.mark.parametrize("micro_batch", [1, 3, 5, 8, 16])
def test_accumulated_gradients_equal_those_of_the_whole_batch(micro_batch: int) -> None:
    torch.manual_seed(0)
    module = MaskedMean()
    batch = {"x": torch.randn(16, 3), "y": torch.randn(16), "mask": (torch.rand(16) < 0.4).float()}
    assert 0 < batch["mask"].sum() < 16  # uneven over the micro-batches
    turn = Turn("model", batch, module.loss)
    found = []
    for size in (None, micro_batch):
        player = player_of(module, torch.optim.SGD(module.parameters(), lr=0.1), micro_batch=size)
        loss = player.gradients(turn)
        found.append((loss, [p.grad.clone() for p in module.parameters()]))
    (loss, gradients), (loss_micro, gradients_micro) = found
    torch.testing.assert_close(loss, loss_micro)
    for whole, micro in zip(gradients, gradients_micro, strict=True):
        torch.testing.assert_close(whole, micro, rtol=1e-5, atol=1e-7)


def test_a_run_with_micro_batches_matches_one_without(quick_run: Run) -> None:
    losses = [quick_run("steps=30", f"micro_batch={m}").result["final"]["val_loss"] for m in ("null", "10")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


class TwiceEvaluated(torch.optim.SGD):
    """Evaluates its closure twice and keeps the results."""

    def step(self, closure: Any) -> Any:
        first = closure()
        gradients = [p.grad.clone() for group in self.param_groups for p in group["params"]]
        with torch.enable_grad():
            second = closure()
        self.seen = (first, second, gradients, [p.grad.clone() for group in self.param_groups for p in group["params"]])
        return super().step()


def test_a_second_closure_call_sees_the_same_randomness_and_leaves_batch_statistics() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
    )
    once, twice = [], []
    for kept, needs, optimizer_class in ((once, [], torch.optim.SGD), (twice, ["closure"], TwiceEvaluated)):
        torch.manual_seed(1)
        copy = torch.nn.Sequential(*(type(m)(*a) for m, a in zip(module, [(4, 8), (8,), (0.5,), (8, 1)], strict=True)))
        copy.load_state_dict(module.state_dict())
        optimizer = optimizer_class(copy.parameters(), lr=0.1)
        player = player_of(copy, optimizer, needs=needs)
        batch = {"x": torch.arange(24.0).reshape(6, 4)}
        player.step(Turn("model", batch, lambda b, m=copy: (m(b["x"]).square().sum(), 6)), 1.0, measure=True)
        kept.extend([copy.state_dict(), optimizer, player])
    first, second, gradients, again = twice[1].seen
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(gradients, again, strict=True))
    assert all(torch.equal(once[0][key], twice[0][key]) for key in once[0])
    assert (once[2].gradient_evaluations, twice[2].gradient_evaluations) == (1, 2)


def test_an_undeclared_second_closure_call_is_refused() -> None:
    module = torch.nn.Linear(2, 1)
    player = player_of(module, TwiceEvaluated(module.parameters(), lr=0.1))
    with pytest.raises(Exception, match="needs: \\[closure\\]"):
        player.step(Turn("model", {"x": torch.ones(2, 2)}, lambda b: (module(b["x"]).sum(), 2)), 1.0, measure=False)


def test_records_are_complete(quick_run: Run) -> None:
    ended = quick_run("steps=45", "record_every=10", "eval_every=20", "clip=global_norm", "clip.max_norm=0.1")
    rows = (ended.folder / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(row) for row in rows]
    assert [(r["split"], r["step"]) for r in rows] == [
        ("train", 10),
        ("train", 20),
        ("validation", 20),
        ("train", 30),
        ("train", 40),
        ("validation", 40),
        ("train", 45),
        ("validation", 45),
        ("train_clean", 45),
        ("test", 45),
    ]
    train = [r for r in rows if r["split"] == "train"]
    for row in train:
        assert row["samples"] == 64 * row["step"] == 64 * row["gradient_evaluations"]
        assert {
            "train_loss",
            "lr",
            "grad_norm",
            "update_ratio",
            "clip_fraction",
            "samples_per_second",
            "step_ms_median",
            "step_ms_p95",
            "resident_bytes",
        } <= set(row)
        assert 0 <= row["clip_fraction"] <= 1
    assert train[0]["clip_fraction"] > 0
    assert train[-1]["lr"] < train[1]["lr"]
    times = [row["wall_seconds"] for row in rows]
    assert times == sorted(times)


def test_the_phases_add_up_to_wall_time(quick_run: Run) -> None:
    result = quick_run("steps=400").result
    assert sum(result["seconds"].values()) == pytest.approx(result["wall_seconds"], rel=0.02)
    assert result["seconds"]["other"] <= 0.02 * result["wall_seconds"]
    phases = result["seconds"]
    assert result["train_seconds"] == pytest.approx(
        sum(phases[p] for p in ("data", "forward", "backward", "optimizer"))
    )


def test_memory_is_counted_in_bytes(quick_run: Run) -> None:
    held = quick_run("steps=2", "optimizer=adamw", "model.hidden=[10]").result["bytes"]
    numbers = 64 * 10 + 10 + 10 * 10 + 10
    assert held["parameters"] == held["gradients"] == 4 * numbers
    assert held["optimizer_state"] == {"float32": 8 * numbers + 4 * 4}  # two moments, and a step for each tensor
    lion = quick_run("steps=2", "optimizer=lion", "model.hidden=[10]").result["bytes"]
    assert lion["optimizer_state"] == {"float32": 4 * numbers}


def test_flops_are_counted(quick_run: Run) -> None:
    flops = quick_run("steps=2", "model.hidden=[10]", "batch_size=8").result["throughput"]["flops_per_step"]
    assert flops == 2 * 8 * (64 * 10 * 2 + 10 * 10 * 3)  # forward, weight gradients, and no gradient of the input


def test_a_target_is_recorded_and_the_run_continues(quick_run: Run) -> None:
    result = quick_run("steps=100", "eval_every=10", "target=0.3").result
    assert result["status"] == "completed"
    assert result["steps"] == 100
    assert 10 <= result["target"]["step"] < 100
    assert result["target"]["samples"] == 64 * result["target"]["step"]
    never = quick_run("steps=20", "target=1.1").result
    assert never["status"] == "completed"
    assert never["target"]["step"] is None


def test_stop_at_target(quick_run: Run) -> None:
    result = quick_run("steps=100", "eval_every=10", "target=0.3", "stop_at_target=true").result
    assert result["status"] == "stopped_at_target"
    assert result["steps"] == result["target"]["step"] < 100
    assert "0.3" in result["reason"]
    assert result["final"]["test_metric"] is not None


def test_divergence_is_a_result(quick_run: Run) -> None:
    result = quick_run("optimizer=sgd", "optimizer.lr=1e20", "steps=100").result
    assert result["status"] == "diverged"
    assert "training loss" in result["reason"]
    assert result["steps"] < 100
    assert result["final"]["test_metric"] is None
    assert math.isfinite(result["wall_seconds"])


def test_time_out_is_a_result(quick_run: Run) -> None:
    result = quick_run("steps=1000000", "max_seconds=0.3").result
    assert result["status"] == "timed_out"
    assert "max_seconds=0.3" in result["reason"]
    assert result["final"]["val_metric"] is not None


FAULTY = """
import torch

class Raises(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("my own mistake")

class Hungry(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

class NoClosure(torch.optim.SGD):
    def step(self):
        return super().step()

class HungryAtOnce(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        self.buffer = torch.empty(2**50)  # four petabytes
        super().__init__(params, lr=lr)

class Drops(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        groups = list(params)
        groups[0]["params"] = groups[0]["params"][1:]
        super().__init__(groups, lr=lr)
"""


def test_errors_of_an_optimizer_are_results(quick_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    failed = quick_run(f"optimizer={file}:Raises", "steps=5")
    assert failed.result["status"] == "failed"
    assert "my own mistake" in failed.result["reason"]
    assert "my own mistake" in (failed.folder / "error.txt").read_text()
    assert quick_run(f"optimizer={file}:Hungry", "steps=5").result["status"] == "out_of_memory"
    assert quick_run(f"optimizer={file}:NoClosure", "steps=5").result["status"] == "completed"
    with pytest.raises(Exception, match="exactly once"):
        quick_run(f"optimizer={file}:Drops", "steps=5")


def test_out_of_memory_before_the_first_step_is_a_result(quick_run: Run, tmp_path: Path) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    ended = quick_run(f"optimizer={file}:HungryAtOnce")
    assert ended.result["status"] == "out_of_memory"
    assert ended.result["reason"].endswith("(before the first step)")
    whole = quick_run("steps=1")
    assert ended.result.keys() == whole.result.keys()
    assert ended.run.keys() == whole.run.keys()
    for part in ("final", "seconds", "bytes", "throughput"):
        assert ended.result[part].keys() == whole.result[part].keys()
    assert "out_of_memory" in "\n".join(summary_lines(ended.run, ended.result, ended.folder))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains(quick_run: Run, precision: str) -> None:
    result = quick_run(f"precision={precision}", "steps=60").result
    assert result["status"] == "completed"
    assert result["final"]["val_metric"] > 0.5


def test_evaluation_and_flop_counting_do_not_affect_training(tmp_path: Path) -> None:
    """More evaluations change neither weights nor records, with dropout and batch statistics too."""
    runs = [
        execute(
            config.load([*QUICK, "model=resnet", "model.size=20", "model.width=16", "steps=12", f"eval_every={n}"]),
            tmp_path,
        )
        for n in (3, 12)
    ]
    assert runs[0].result["weights_sha256"] == runs[1].result["weights_sha256"]


def test_preserve_state_restores_buffers_and_random_state() -> None:
    module = torch.nn.BatchNorm1d(3)
    state = torch.get_rng_state()
    with preserve_state([module], torch.device("cpu")):
        module(torch.randn(5, 3))
        assert module.running_mean.abs().sum() > 0
    assert module.running_mean.abs().sum() == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_config_gives_the_same_weights(quick_run: Run) -> None:
    hashes = {quick_run("steps=20", "model=vit", force=True).result["weights_sha256"] for _ in range(2)}
    assert len(hashes) == 1
    assert quick_run("steps=20", "model=vit", "seed=1").result["weights_sha256"] not in hashes


def test_objects_of_a_run_know_their_device() -> None:
    objects = assemble(config.load([*QUICK, "device=cpu"]))
    assert objects.device.type == "cpu"
    assert objects.engine == "fused"


@pytest.mark.slow
def test_compiling_changes_where_the_time_goes_and_not_the_result(tmp_path: Path) -> None:
    settings = [*QUICK, "model=vit", "optimizer=lion", "steps=100"]
    eager = execute(config.load(settings), tmp_path).result
    compiled = execute(config.load([*settings, "compile=true", "optimizer.engine=compiled"]), tmp_path)
    assert compiled.run["engine"] == "compiled"
    assert compiled.result["final"]["val_loss"] == pytest.approx(eager["final"]["val_loss"], rel=1e-3)
    assert compiled.result["seconds"]["compile"] > 1
    assert compiled.result["throughput"]["step_ms_p95"] < 500  # no step compiles again


def test_steps_that_fp16_skips_are_counted() -> None:
    """A loss scale of 2^127 overflows until it is halved often enough; a resumed player goes on counting."""
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)
    batch = {"x": torch.randn(4, 3)}
    turn = Turn("model", batch, lambda b: (module(b["x"]).square().sum(), 4))
    player = player_of(module, torch.optim.SGD(module.parameters(), lr=0.1), precision="fp16")
    player.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=10**6)
    before = [p.detach().clone() for p in module.parameters()]
    player.step(turn, 1.0, measure=False)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    for _ in range(140):
        player.step(turn, 1.0, measure=False)
    values = player.values()
    skipped = values["skipped_steps"]
    assert isinstance(skipped, int)
    assert 1 <= skipped < 141
    assert values["loss_scale"] == 2.0 ** (127 - skipped)
    state = player.state_dict()
    assert state["skipped_steps"] == skipped
    again = player_of(module, torch.optim.SGD(module.parameters(), lr=0.1), precision="fp16")
    again.load_state_dict(state)
    assert again.values()["skipped_steps"] == skipped


@pytest.mark.parametrize("calls", [1, 2])
def test_refreshed_statistics_are_torchs_cumulative_means(calls: int) -> None:
    torch.manual_seed(0)
    ours = torch.nn.BatchNorm1d(3)
    theirs = torch.nn.BatchNorm1d(3, momentum=None)
    batches = [torch.randn(5, 3) for _ in range(7)]
    ours(batches[0])
    with plain_means([ours]):
        for batch in batches:
            for _ in range(calls):
                ours(batch)
                theirs(batch)
    assert ours.momentum == 0.1
    assert not ours._forward_pre_hooks
    for name, buffer in theirs.named_buffers():
        assert torch.equal(buffer, ours.get_buffer(name)), name
