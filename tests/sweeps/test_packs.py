"""Several runs in one process: each gives what it gives alone, and none takes the others with it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_local import events_of, started_runs

from optbench import config
from optbench.config import RunConfig
from optbench.data.digits import Digits
from optbench.errors import ConfigError
from optbench.sessions.pack import Pack
from optbench.sessions.session import execute
from optbench.store import RunFolder
from optbench.sweeps.executors import local, packs
from optbench.sweeps.executors.base import Event, Job, RunEnded, RunNotice, RunStarted, RunStopped, WorkerDied

QUICK = ("model=mlp", "data=digits", "tracker=none", "threads=1", "device=cpu", "record_every=5")


@pytest.fixture
def executor() -> Iterator[local.LocalExecutor]:
    found = local.LocalExecutor(1, [config.load(QUICK)], pack=4)
    yield found
    found.close()


def start(executor: local.LocalExecutor, runs: Sequence[RunConfig], root: Path, cell: str = "a") -> None:
    for run in runs:
        executor.start(Job(run.run_id, "tune", run, root, "study", metadata={"cell": cell}))


def packed(runs: Sequence[RunConfig], root: Path) -> list[Event]:
    """Run them in one pack, and return all events."""
    executor = local.LocalExecutor(1, runs, pack=len(runs))
    try:
        start(executor, runs, root)
        return events_of(executor)
    finally:
        executor.close()


def result(root: Path, run: RunConfig, study: str = "study") -> dict[str, Any]:
    return RunFolder(root, study, run.run_id).result() or {}


def losses(root: Path, run: RunConfig, study: str) -> list[float]:
    rows = RunFolder(root, study, run.run_id).records()
    return [row[key] for row in rows for key in ("train_loss", "val_loss", "test_loss") if key in row]


def trials(*words: str, lrs: Sequence[float] = (1e-3, 3e-3, 1e-2)) -> list[RunConfig]:
    return [config.load([*QUICK, *words, f"optimizer.lr={lr}", f"seed={i}"]) for i, lr in enumerate(lrs)]


TOGETHER = {
    "mlp": ("steps=30",),
    "vit": ("model=vit", "steps=3", "optimizer=lion"),
    "resnet": ("model=resnet", "model.width=8", "steps=6", "optimizer=adamw", "clip=global_norm"),
    "bf16": ("steps=10", "precision=bf16"),
    "averaged": ("steps=12", "optimizer=schedulefree"),
}


@pytest.mark.parametrize("words", TOGETHER.values(), ids=TOGETHER)
def test_runs_trained_together_equal_the_runs_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    runs = trials(*words, lrs=(1e-4, 3e-4, 1e-3))
    events = packed(runs, tmp_path)
    assert {event.run_id for event in events if isinstance(event, RunEnded)} == {run.run_id for run in runs}
    for run in runs:
        alone = execute(run, tmp_path, study="alone").result
        found = result(tmp_path, run)
        assert found["pack"] == {"runs": 3, "together": True, "reason": None}
        assert alone["pack"] is None
        assert found["gradient_evaluations"] == alone["gradient_evaluations"]
        tolerance = 0.02 if run.precision == "bf16" else 1e-4
        assert losses(tmp_path, run, "study") == pytest.approx(losses(tmp_path, run, "alone"), rel=tolerance)


TURNS = {
    "random": (("model=vit", "model.drop_path=0.3", "steps=4"), "the model draws random numbers"),
    "players": (("model=gan", "steps=3"), "the task has several players"),
    "closure": (("optimizer=sam", "steps=8"), "the optimizer evaluates the loss itself"),
    "micro-batches": (("micro_batch=16", "steps=8"), "the batch is split into micro-batches"),
}


@pytest.mark.parametrize(("words", "reason"), TURNS.values(), ids=TURNS)
def test_runs_that_take_turns_equal_the_runs_alone_bit_for_bit(
    words: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    runs = trials(*words, lrs=(1e-4, 1e-3))
    packed(runs, tmp_path)
    for run in runs:
        found = result(tmp_path, run)
        assert found["pack"] == {"runs": 2, "together": False, "reason": reason}
        assert found["weights_sha256"] == execute(run, tmp_path, study="alone").result["weights_sha256"]


def test_a_diverged_and_a_refused_run_do_not_stop_the_others(tmp_path: Path) -> None:
    good, *_, other = trials("steps=40", "optimizer=sgd")
    diverged = trials("steps=40", "optimizer=sgd", lrs=(1e20,))[0]
    refused = config.load([*QUICK, "steps=40", "data=cifar10", f"data_dir={tmp_path}"])
    packed([diverged, good, refused, other], tmp_path)
    assert result(tmp_path, diverged)["status"] == "diverged"
    assert not result(tmp_path, refused)
    for run in (good, other):
        found = result(tmp_path, run)
        assert found["status"] == "completed"
        assert found["pack"]["together"]
        alone = execute(run, tmp_path, study="alone").result
        assert found["final"]["test_loss"] == pytest.approx(alone["final"]["test_loss"], rel=1e-4)


def wait_for(executor: local.LocalExecutor, runs: Sequence[RunConfig]) -> list[Event]:
    """Return the events until training of all runs has begun."""
    seen: list[Event] = []
    give_up = time.monotonic() + 60
    while not {run.run_id for run in runs} <= started_runs(seen) and time.monotonic() < give_up:
        seen += executor.events(0.1)
    return seen


def last_events(executor: local.LocalExecutor) -> dict[str, Event]:
    """Wait until nothing runs; return the last event of each run."""
    return {event.run_id: event for event in events_of(executor, 120) if not isinstance(event, RunNotice)}


def test_one_run_is_stopped_and_resumes(executor: local.LocalExecutor, tmp_path: Path) -> None:
    runs = trials("steps=800")
    start(executor, runs, tmp_path)
    wait_for(executor, runs)
    executor.stop(runs[1].run_id, "hopeless")
    last = last_events(executor)
    assert last[runs[1].run_id] == RunStopped(runs[1].run_id, "hopeless")
    assert last[runs[0].run_id] == RunEnded(runs[0].run_id)
    assert not result(tmp_path, runs[1])
    start(executor, [runs[1]], tmp_path)
    events_of(executor, 120)
    ended, alone = result(tmp_path, runs[1]), execute(runs[1], tmp_path, study="alone").result
    assert ended["resumed_from_steps"]
    assert ended["final"]["val_loss"] == pytest.approx(alone["final"]["val_loss"], rel=0.02)


def test_the_runs_of_a_killed_pack_go_on_alone(executor: local.LocalExecutor, tmp_path: Path) -> None:
    """One of them may have killed it, and would do so again."""
    runs = trials("steps=100000", lrs=(1e-3, 1e-2))
    start(executor, runs, tmp_path)
    wait_for(executor, runs)
    executor._workers[runs[0].run_id].process.kill()
    last = last_events(executor)
    assert last == {run.run_id: WorkerDied(run.run_id, "was killed by SIGKILL") for run in runs}
    start(executor, runs, tmp_path)
    wait_for(executor, runs[:1])
    assert executor._workers[runs[0].run_id].jobs == [runs[0].run_id]
    assert runs[1].run_id in executor.running
    executor.stop(runs[1].run_id, "it waits")
    executor.stop(runs[0].run_id, "enough")
    assert last_events(executor) == {
        runs[0].run_id: RunStopped(runs[0].run_id, "enough"),
        runs[1].run_id: RunStopped(runs[1].run_id, "it waits"),
    }


def test_the_runs_of_a_pack_share_their_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each has its own order and augmentation."""
    loads: list[object] = []
    load = Digits.load

    def counted(source: Digits, *given: Any) -> Any:
        loads.append(source)
        return load(source, *given)

    monkeypatch.setattr(Digits, "load", counted)
    runs = trials("steps=10", "data.augment.crop_pad=1")
    pack = Pack(len(runs))
    pack.run([lambda run=run: execute(run, tmp_path) and None for run in runs])
    assert len(loads) == 1
    for run in runs:
        alone = execute(run, tmp_path, study="alone").result
        assert result(tmp_path, run, "runs")["final"]["val_loss"] == pytest.approx(alone["final"]["val_loss"], rel=1e-4)


def test_packs_hold_runs_of_one_cell(executor: local.LocalExecutor, tmp_path: Path) -> None:
    runs = trials("steps=10")
    start(executor, runs[:1], tmp_path, "a")
    start(executor, runs[1:2], tmp_path, "b")
    start(executor, runs[2:], tmp_path, "a")
    events = events_of(executor)
    assert sum(isinstance(event, RunStarted) for event in events) == 3
    counts = [(result(tmp_path, run)["pack"] or {"runs": 1})["runs"] for run in runs]
    assert counts == [2, 1, 2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("max_seconds=5",), "max_seconds would count the time of the other runs"),
        (("micro_batch=auto",), "micro_batch=auto measures"),
        (("devices=2",), "devices=2: the ranks"),
    ],
)
def test_runs_that_need_a_process_of_their_own_are_refused(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=f"--pack: {reason}"):
        packs.require_packable([config.load([*QUICK, *words])])


def sweep(call: Any, root: Path, *words: str) -> Any:
    common = ["optimizer=lion,adamw", "model=mlp", "steps=20", "tracker=none", "threads=1", "device=cpu"]
    options = ["--trials", "4", "--seeds", "2", "--shortlist", "0", "--jobs", "1", "--study", "s", "--json"]
    code, out, err = call("sweep", *common, *options, "--results-dir", str(root), *words)
    assert code == 0, err
    return json.loads(out)


def test_a_sweep_of_packs_has_the_same_table(call: Any, tmp_path: Path) -> None:
    alone, together = sweep(call, tmp_path / "alone"), sweep(call, tmp_path / "packs", "--pack", "4")
    for one, other in zip(alone["cells"], together["cells"], strict=True):
        assert one["best"] == other["best"]
        assert other["final_test"]["mean"] == pytest.approx(one["final_test"]["mean"], abs=0.01)
    folder = tmp_path / "packs" / "s"
    counts = [(json.loads(path.read_text())["pack"] or {"runs": 1})["runs"] for path in folder.glob("*/result.json")]
    assert sorted(counts) == [2] * 4 + [4] * 8
    runs = [json.loads(path.read_text()) for path in folder.glob("*/run.json")]
    assert all(run["sweep"]["pack"] == 4 and run["sweep"]["shared"] for run in runs)


def test_other_executors_have_no_packs(call: Any, tmp_path: Path) -> None:
    words = ("optimizer=lion", "model=mlp", "--pack", "2", "--executor", "slurm", "--results-dir", str(tmp_path))
    code, _, err = call("sweep", *words)
    assert code == 2
    assert "--pack 2: only the runs of this machine share processes" in err
