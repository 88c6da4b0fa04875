"""A killed data worker ends a run like a lost rank: no result, and the same command goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import rows_of, same_records
from PIL import Image

from optbench import config
from optbench.config import RunConfig
from optbench.errors import WorkerLost
from optbench.records import Record, Split
from optbench.sessions.session import execute
from optbench.sweeps.executors.base import Event, Job, RunEvaluated, WorkerDied
from optbench.sweeps.executors.worker import serve


@pytest.fixture
def loaded(tmp_path: Path) -> RunConfig:
    """Return a run whose images are read by two workers."""
    for part, name in ((part, name) for part in ("train", "val") for name in ("cat", "dog")):
        (tmp_path / "set" / part / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / part / name / f"{number}.png")
    words = ["optimizer=sgd", "model=mlp", "data=imagefolder", f"data.path={tmp_path}/set", "data.image_size=16"]
    words += ["data.in_memory_bytes=0", "data.workers=2", "data.validation=0.2", "tracker=none", "threads=1"]
    return config.load([*words, "batch_size=8", "steps=12", "record_every=2", "eval_every=6", "checkpoint_seconds=0"])


def kill_a_worker() -> None:
    children = [child for child in multiprocessing.active_children() if child.is_alive()]
    assert len(children) >= 2
    os.kill(children[0].pid or 0, signal.SIGKILL)


class Killer:
    """A sink that kills a worker at a step, before the evaluation of that step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def start(self, run: Mapping[str, Any]) -> None: ...

    def tick(self, step: int) -> None: ...

    def log(self, record: Record) -> None:
        if (record.step, record.split) == (self.step, Split.TRAIN):
            kill_a_worker()

    def finish(self, result: Mapping[str, Any] | None) -> None:
        assert result is None


@pytest.mark.parametrize("step", [6, pytest.param(4, marks=pytest.mark.slow)], ids=["evaluation", "training"])
def test_the_same_command_goes_on_after_a_killed_worker(tmp_path: Path, loaded: RunConfig, step: int) -> None:
    calm = execute(loaded, tmp_path / "calm")
    with pytest.raises(WorkerLost, match="a process that reads data is gone") as caught:
        execute(loaded, tmp_path / "wild", sinks=lambda folder: [Killer(step)])
    assert caught.value.exit_code == 4
    assert "fewer data.workers" in caught.value.hint
    folder = tmp_path / "wild" / "runs" / loaded.run_id
    assert not (folder / "result.json").exists() and not (folder / "error.txt").exists()
    ended = execute(loaded, tmp_path / "wild")
    assert ended.result["resumed_from_steps"]
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
    assert same_records(rows_of(ended)) == same_records(rows_of(calm))


class KillingChannel:
    """A sweep's channel that kills a data worker after the first evaluation."""

    reason: str | None = None

    def __init__(self) -> None:
        self.sent: list[Event] = []

    def send(self, event: Event) -> None:
        if isinstance(event, RunEvaluated):
            kill_a_worker()
        self.sent.append(event)

    def interruption(self) -> Event | None:
        return None


def test_a_sweep_resumes_the_run_of_a_killed_worker(tmp_path: Path, loaded: RunConfig) -> None:
    """Its scheduler is told that the run's process died, not that the configuration was refused."""
    channel = KillingChannel()
    serve(Job(loaded.run_id, "final", loaded, tmp_path, "study"), channel)
    assert isinstance(channel.sent[-1], WorkerDied)
    assert "a process that reads data is gone" in channel.sent[-1].how
