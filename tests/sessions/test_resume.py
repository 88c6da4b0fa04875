"""A killed run resumes from its checkpoint, and equals an uninterrupted run bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, Twice, same_records

from optbench import config
from optbench.errors import ConfigError, Locked, StorageError
from optbench.sessions.session import execute
from optbench.store import RunFolder

LONG = [*QUICK, "steps=1500", "record_every=7", "eval_every=100", "checkpoint_seconds=0.02", "clip=global_norm"]


OWN = """
import numpy as np
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2))
        self.fc = nn.Linear(32, classes)
    def forward(self, x):
        return self.fc(self.body(x * (1 + 0.01 * float(np.random.rand()) * self.training)))
"""  # draws random numbers of torch and numpy, and has buffers


def command(overrides: list[str], results: Path) -> list[str]:
    return [sys.executable, "-m", "optbench", "run", *overrides, "--results-dir", str(results), "--quiet"]


def start(overrides: list[str], results: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command(overrides, results), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def newest_step(folder: Path) -> int:
    return max((int(file.stem.split("-")[1]) for file in (folder / "checkpoints").glob("step-*.pt")), default=0)


def kill_after(process: subprocess.Popen[str], folder: Path, step: int, delay: float, number: int) -> bool:
    """Send a signal `delay` seconds after a checkpoint beyond `step`; return False if the run ended before."""
    deadline = time.monotonic() + 120
    while newest_step(folder) <= step and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    alive = process.poll() is None
    process.send_signal(number)
    process.communicate()
    return alive


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("own", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_equals_an_uninterrupted_one(tmp_path: Path, own: bool) -> None:
    (tmp_path / "net.py").write_text(OWN)
    words = [*LONG, f"model={tmp_path}/net.py:Net", "optimizer=muon"] if own else LONG
    loaded = config.load(words)
    calm = execute(loaded, tmp_path / "calm")
    folder = tmp_path / "wild" / "runs" / loaded.run_id
    chance, kills, step = random.Random(0), 0, 0
    while kills < 4 and not (folder / "result.json").exists():
        kills += kill_after(start(words, tmp_path / "wild"), folder, step, chance.random() * 0.15, signal.SIGKILL)
        step = newest_step(folder)
    done = subprocess.run(command(words, tmp_path / "wild"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert kills >= 2
    assert max(result["resumed_from_steps"]) > 0
    assert result["weights_sha256"] == calm.result["weights_sha256"]
    assert same_records(rows(folder)) == same_records(rows(calm.folder))
    for key in ("final", "best", "steps", "samples", "gradient_evaluations", "status"):
        assert result[key] == calm.result[key]


@pytest.mark.parametrize(
    ("overrides"),
    [
        ("model=resnet", "model.size=20", "model.width=16", "optimizer=lion"),
        ("model=vit", "model.drop_path=0.2", "optimizer=adamw"),
        ("optimizer=sgd", "micro_batch=16", "data.augment.mixup=0.4", "precision=bf16"),
    ],
    ids=["batch-norm", "dropped-paths", "accumulation"],
)
def test_interrupted_and_resumed_in_process(overrides: tuple[str, ...], twice: Twice) -> None:
    twice(config.load([*QUICK, *overrides, "steps=24", "record_every=5", "eval_every=8"]), 6, 13)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_write_a_checkpoint_and_give_their_exit_code(tmp_path: Path, number: int, code: int) -> None:
    overrides = [*QUICK, "steps=10000000", "checkpoint_seconds=1000", "record_every=5"]
    process = start(overrides, tmp_path)
    folder = tmp_path / "runs" / config.load(overrides).run_id
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    assert newest_step(folder) > 0
    assert not (folder / "result.json").exists()


def test_checkpoints_load_with_weights_only(tmp_path: Path) -> None:
    ended = execute(config.load([*QUICK, "steps=3"]), tmp_path)
    (file,) = (ended.folder / "checkpoints").glob("step-*.pt")
    state = torch.load(file, weights_only=True)
    assert state["trainer"]["progress"]["step"] == 3
    assert set(state["trainer"]["players"]) == {"model"}
    thrifty = execute(config.load([*QUICK, "steps=4", "keep_checkpoint=false"]), tmp_path)
    assert not (thrifty.folder / "checkpoints").exists()


def test_a_damaged_checkpoint_means_starting_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = config.load([*QUICK, "steps=10"])
    calm = execute(loaded, tmp_path / "calm")
    folder = RunFolder(tmp_path / "spoilt", "runs", loaded.run_id)
    folder.checkpoints.folder.mkdir(parents=True)
    (folder.checkpoints.folder / "step-000000005.pt").write_bytes(b"PK\x03\x04 torn")
    folder.metrics_file.write_text('{"step": 1}\n{"torn')
    ended = execute(loaded, tmp_path / "spoilt")
    assert "step-000000005.pt is left out: it cannot be read" in caplog.messages[0]
    assert ended.result["resumed_from_steps"] == []
    assert same_records(rows(ended.folder)) == same_records(rows(calm.folder))


def test_changed_data_is_not_resumed(tmp_path: Path, monkeypatch: Any) -> None:
    loaded = config.load([*QUICK, "steps=10", "checkpoint_seconds=0"])
    ended = execute(loaded, tmp_path)
    (ended.folder / "result.json").unlink()
    from optbench.sessions import session as run

    assemble = run.assemble

    def changed(*arguments: Any) -> Any:
        objects = assemble(*arguments)
        objects.data.sha256 = "another"
        return objects

    monkeypatch.setattr(run, "assemble", changed)
    with pytest.raises(ConfigError, match="the data changed"):
        execute(loaded, tmp_path)


def test_a_run_killed_after_its_last_step_only_writes_its_result(tmp_path: Path) -> None:
    loaded = config.load([*QUICK, "steps=60", "target=0.2", "stop_at_target=true", "eval_every=10"])
    first = execute(loaded, tmp_path)
    (first.folder / "result.json").unlink()
    again = execute(loaded, tmp_path)
    for key in ("status", "reason", "final", "best", "target", "steps", "weights_sha256"):
        assert again.result[key] == first.result[key]
    assert len({json.dumps(row) for row in rows(again.folder)}) == len(rows(again.folder))


def test_a_finished_run_does_not_run_again_unless_forced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = config.load([*QUICK, "steps=5"])
    first = execute(loaded, tmp_path)
    second = execute(loaded, tmp_path)
    assert second.was_there
    assert second.result == first.result
    forced = execute(loaded, tmp_path, force=True)
    assert not forced.was_there
    (aside,) = (tmp_path / "runs" / ".replaced").iterdir()
    assert json.loads((aside / "result.json").read_text()) == first.result
    assert str(aside) in caplog.messages[0]


def test_two_processes_with_the_same_run_write_one_result(tmp_path: Path) -> None:
    overrides = [*QUICK, "steps=3000"]
    both = [start(overrides, tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in both]
    codes = sorted(process.returncode for process in both)
    folder = tmp_path / "runs" / config.load(overrides).run_id
    assert codes in ([0, 3], [0, 0])  # at the same time, or one after the other
    if codes == [0, 3]:
        assert any("is being run by another process" in err for _, err in outputs)
    assert rows(folder)[-1]["split"] == "test"
    assert len([row for row in rows(folder) if row["split"] == "test"]) == 1


def test_a_locked_run_is_refused(tmp_path: Path) -> None:
    loaded = config.load([*QUICK, "steps=5"])
    with RunFolder(tmp_path, "runs", loaded.run_id).locked(), pytest.raises(Locked, match="another process"):
        execute(loaded, tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot be written"):
        execute(config.load([*QUICK, "steps=5"]), tmp_path / "results")


def test_a_results_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        execute(config.load([*QUICK, "steps=5"]), tmp_path / "results")
