"""The choice of the micro-batch: two small measurements predict memory at larger sizes; a run keeps its choice."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.errors import ConfigError, Interrupted
from optbench.sessions import assemble, micro_batch
from optbench.sessions.micro_batch import MemoryNeed
from optbench.sessions.session import Session, execute
from optbench.training.loop import Trainer
from optbench.training.memory import free_bytes, peak_extra_bytes
from optbench.training.seeding import seeds_of

CPU = torch.device("cpu")
NEED = MemoryNeed(
    parameters=100, optimizer_state=200, gradients=100, work=50.0, fixed=10.0, per_sample=20.0, batch_per_sample=1.0
)


def maker(*overrides: str) -> Any:
    loaded = config.load([*QUICK, *overrides])
    seeds = seeds_of(0)
    data = assemble.load_data(loaded, CPU, seeds)

    def make() -> Trainer:
        return assemble.build_trainer(loaded, data, CPU, seeds, None)

    return make


def test_bytes_of_a_step_by_hand() -> None:
    assert NEED.bytes_at(10) == 400 + 10 + 210
    assert NEED.bytes_at(10, 2) == 400 + 10 + 50  # two samples take the same as fixed + 2 per_sample = work
    assert NEED.bytes_at(10, 1) == 400 + 10 + 50  # the optimizer's temporaries are more than one sample's activations
    assert NEED.largest_micro_batch(400 + 100 + 110, 100) == 5
    assert NEED.largest_micro_batch(400 + 100 + 49, 100) == 0
    assert NEED.largest_batch(400 + 10 + 21 * 7) == 7
    assert NEED.largest_batch(399) == 0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor", "sam"])
def test_the_prediction_holds_at_a_larger_batch(optimizer: str) -> None:
    make = maker(f"optimizer={optimizer}", "model=vit")
    need = micro_batch.measure_need(make)
    trainer = make()
    batch = micro_batch.first_batch(trainer, 96)
    extra = peak_extra_bytes(lambda: [trainer.take_turns(batch, recording=False) for _ in range(2)], CPU)
    real = need.parameters + extra
    assert need.bytes_at(96) - need.batch_per_sample * 96 == pytest.approx(real, rel=0.15)
    assert need.parameters == sum(p.numel() * p.element_size() for p in trainer.modules[0].parameters())


def test_state_and_gradients_are_counted() -> None:
    adamw, sgd = (micro_batch.measure_need(maker(f"optimizer={name}")) for name in ("adamw", "sgd"))
    assert adamw.gradients == sgd.gradients == adamw.parameters
    assert adamw.optimizer_state >= 2 * adamw.parameters
    assert sgd.optimizer_state == 0
    assert adamw.largest_batch(5e6) < sgd.largest_batch(5e6)


def test_micro_batches_are_nearly_equal_and_within_the_limit() -> None:
    make = maker("model=vit")
    need = micro_batch.measure_need(make)
    limit = need.bytes_at(256, 100)
    chosen = micro_batch.largest_micro_batch(make, 256, limit, CPU)
    assert 80 <= chosen <= 100
    assert chosen == -(-256 // -(-256 // chosen))
    assert micro_batch.largest_micro_batch(make, 256, 1e12, CPU) == 256


def test_a_limit_too_small_for_one_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"memory_limit=1000: a batch of 64 needs .* micro-batches of one sample"):
        execute(config.load([*QUICK, "micro_batch=auto", "memory_limit=1000"]), tmp_path)


def test_free_memory_is_known() -> None:
    assert 2**20 < free_bytes(CPU) < 2**50


def test_a_run_keeps_the_micro_batch_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [*QUICK, "model=vit", "batch_size=64", "steps=6", "micro_batch=auto", "memory_limit=8e6"]
    loaded = config.load(settings)
    on_step = Session._on_step

    def interrupted(session: Session, trainer: Any) -> None:
        session.signals.heard = [signal.SIGTERM] if trainer.progress.step == 3 and not session.resumed_from else []
        on_step(session, trainer)

    monkeypatch.setattr(Session, "_on_step", interrupted)
    with pytest.raises(Interrupted):
        execute(loaded, tmp_path)
    (file,) = tmp_path.glob("runs/*/run.json")
    begun = json.loads(file.read_text())
    assert 1 <= begun["micro_batch"] < 64
    file.write_text(json.dumps({**begun, "micro_batch": begun["micro_batch"] - 1}))
    ended = execute(loaded, tmp_path)
    assert ended.run["micro_batch"] == begun["micro_batch"] - 1  # taken from the file, not found anew
    assert ended.result["status"] == "completed"
