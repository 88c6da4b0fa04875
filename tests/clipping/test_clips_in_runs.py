"""Clips inside the loop: records, checkpoints, closures and skipped steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Twice

from optbench import config
from optbench.clipping import GlobalNorm, ZClip
from optbench.contracts import Turn
from optbench.models.roles import problem_of
from optbench.sessions.execute import FinishedRun
from optbench.training.clock import Clock
from optbench.training.player import ActivePlayer

Run = Callable[..., FinishedRun]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def train_rows(ended: FinishedRun) -> list[dict[str, Any]]:
    return [row for row in rows(ended.folder) if row["split"] == "train"]


@pytest.mark.parametrize("clip", config.options([config.packaged_folder()], "clip"))
def test_records_report_clip_fraction_and_scale(quick_run: Run, clip: str) -> None:
    found = train_rows(quick_run(f"clip={clip}", "steps=40", "record_every=10"))
    assert [row["step"] for row in found] == [10, 20, 30, 40]
    for row in found:
        assert 0 <= row["clip_fraction"] <= 1
        assert 0 < row["clip_scale"] <= 1
        assert (row["clip_fraction"] == 0) == (row["clip_scale"] == 1)
        assert row["grad_norm"] > 0


def test_agc_clips_in_a_run(quick_run: Run) -> None:
    first = train_rows(quick_run("clip=agc", "steps=40", "record_every=10"))[0]
    assert first["clip_fraction"] == 1
    assert first["clip_scale"] < 0.9


@pytest.mark.parametrize(
    ("clip", "overrides"),
    [
        ("adaptive", ("clip.warmup_steps=9", "clip.z_threshold=0.5")),
        ("adagc", ("clip.warmup_steps=9",)),
        ("agc", ()),
    ],
)
def test_an_interrupted_run_resumes_bit_for_bit(twice: Twice, clip: str, overrides: tuple[str, ...]) -> None:
    settings = [*QUICK, f"clip={clip}", *overrides, "steps=24", "record_every=5", "eval_every=8"]
    calm, _ = twice(config.load(settings), 6, 13)  # once within the warm-up, once after it
    assert any(row["clip_fraction"] > 0 for row in train_rows(calm)[2:])


class EvaluatesTwice(torch.optim.SGD):
    """SGD that evaluates its closure twice, as SAM does."""

    def step(self, closure: Any = None) -> Any:
        closure()
        with torch.enable_grad():
            return super().step(closure)


def player_of(module: torch.nn.Module, clip: Any, optimizer: Any, needs: list[str]) -> ActivePlayer:
    device, clock = torch.device("cpu"), Clock()
    return ActivePlayer(
        module, optimizer, clip, needs=needs, precision="fp32", micro_batch=None, device=device, clock=clock
    )


def test_a_clip_counts_a_step_with_two_evaluations_once() -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)
    clip = ZClip(problem_of(module), alpha=0.97, z_threshold=2.5, warmup_steps=4, eps=1e-6)
    player = player_of(module, clip, EvaluatesTwice(module.parameters(), lr=0.1), ["closure"])
    for step in range(3):
        batch = {"x": torch.randn(8, 3)}
        player.step(Turn("model", batch, lambda b: (module(b["x"]).square().sum(), len(b["x"]))), 1.0, measure=False)
        assert clip.count.item() == step + 1
    assert player.gradient_evaluations == 6
    assert player.clip_sums[2].item() == 6


def test_a_non_finite_gradient_is_left_out_of_fraction_and_scale() -> None:
    module = torch.nn.Linear(2, 1, bias=False)
    clip = GlobalNorm(problem_of(module), max_norm=1.0)
    player = player_of(module, clip, torch.optim.SGD(module.parameters(), lr=0.0), [])
    for size in (2.0, float("inf"), 0.5, float("nan")):
        batch = {"x": torch.tensor([[size, 0.0]])}
        player.step(Turn("model", batch, lambda b: (module(b["x"]).sum(), 1)), 1.0, measure=False)
    values = player.values()
    assert values["clip_fraction"] == 0.5
    assert values["clip_scale"] == pytest.approx(0.75, abs=1e-5)
