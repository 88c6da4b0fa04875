"""The executor of one machine: number of workers, their devices and memory, and how a worker ends."""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import pytest

from optbench import config
from optbench.errors import ConfigError
from optbench.sweeps.executors import fork_server, local, machine
from optbench.sweeps.executors.base import Event, Job, RunEnded, RunRefused, RunStarted, RunStopped, WorkerDied

QUICK = ("model=mlp", "data=digits", "tracker=none", "threads=1")


def no_devices() -> list[str]:
    return []


def four_devices() -> list[str]:
    return ["0", "1", "2", "3"]


def test_a_cpu_holds_as_many_workers_as_fit_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 8)
    assert machine.worker_slots(None, 1, 2, "cpu", no_devices) == (4, [])
    assert machine.worker_slots(None, 1, 16, "cpu", no_devices) == (1, [])
    assert machine.worker_slots(None, 1, 2, "auto", no_devices) == (4, [])
    assert machine.worker_slots(3, 1, 2, "cpu", four_devices) == (3, [])


def test_every_device_has_its_worker() -> None:
    assert machine.worker_slots(None, 1, 2, "auto", four_devices) == (4, ["0", "1", "2", "3"])
    assert machine.worker_slots(2, 1, 2, "cuda", four_devices) == (2, ["0", "1"])
    assert machine.worker_slots(None, 2, 2, "cuda", four_devices) == (8, ["0", "0", "1", "1", "2", "2", "3", "3"])


def test_a_named_device_is_shared_only_by_per_device() -> None:
    assert machine.worker_slots(None, 1, 2, "cuda:1", four_devices) == (1, [])
    assert machine.worker_slots(None, 3, 2, "cuda:1", four_devices) == (3, [])


def test_more_jobs_than_slots_are_refused() -> None:
    with pytest.raises(ConfigError, match="--jobs 6: there are 4 devices with 1") as caught:
        machine.worker_slots(6, 1, 2, "cuda", four_devices)
    assert "--per-device 2" in caught.value.hint


def test_the_server_imports_what_runs_need() -> None:
    modules = fork_server.preloaded([config.load(["model=vit", "optimizer=lion", "lookahead=true"])])
    assert {
        "optbench.sessions.session",
        "optbench.models.vit",
        "optbench.optimizers.lion",
        "optbench.optimizers.lookahead",
    } <= set(modules)
    assert {"timm.models.vision_transformer", "optbench.tasks.image_classification"} <= set(modules)
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_an_exit_code_in_words() -> None:
    assert local.describe_exit(-9) == "was killed by SIGKILL"
    assert local.describe_exit(1) == "ended with exit code 1"
    assert local.describe_exit(None) == "ended with exit code None"
    assert local.describe_exit(-250) == "was killed by signal 250"


def test_some_memory_is_left_free() -> None:
    executor = local.LocalExecutor(1, [])
    job = Job("a", "tune", config.load(QUICK), Path("."), "study")
    free = machine.available_bytes()
    assert executor.has_room(job, 0)
    if free is not None:
        assert not executor.has_room(job, free)


def events_of(executor: local.LocalExecutor, seconds: float = 60.0) -> list[Event]:
    """Return all events until nothing runs."""
    found: list[Event] = []
    give_up = time.monotonic() + seconds
    while executor.running and time.monotonic() < give_up:
        found += executor.events(0.2)
    assert not executor.running
    return found


def started_runs(events: list[Event]) -> set[str]:
    """Return the jobs whose training has begun."""
    return {event.run_id for event in events if isinstance(event, RunStarted)}


def test_workers_report_how_they_end(tmp_path: Path) -> None:
    """One run completes, one is refused, one is stopped with a reason, one is killed; all from one server."""
    loaded = {
        "whole": config.load([*QUICK, "steps=20"]),
        "refused": config.load([*QUICK, "data=cifar10", f"data_dir={tmp_path}"]),
        "stopped": config.load([*QUICK, "steps=1000000"]),
        "killed": config.load([*QUICK, "steps=1000001"]),
    }
    executor = local.LocalExecutor(4, list(loaded.values()))
    try:
        for name, one in loaded.items():
            executor.start(Job(name, "tune", one, tmp_path, "study"))
        seen: list[Event] = []
        give_up = time.monotonic() + 90
        while not {"stopped", "killed"} <= started_runs(seen) and time.monotonic() < give_up:
            seen += executor.events(0.2)
        executor.stop("stopped", "hopeless")
        executor._workers["killed"].process.kill()
        last = {event.run_id: event for event in [*seen, *events_of(executor)]}
    finally:
        executor.close()
    assert last["stopped"] == RunStopped("stopped", "hopeless")
    assert last["killed"] == WorkerDied("killed", "was killed by SIGKILL")
    assert isinstance(last["refused"], RunRefused)
    assert last["whole"] == RunEnded("whole")
    folder = tmp_path / "study" / loaded["stopped"].run_id
    assert list((folder / "checkpoints").iterdir())
    assert (tmp_path / "study" / loaded["whole"].run_id / "result.json").exists()
    assert "data=cifar10 not found" in (tmp_path / "study" / "logs" / "refused.txt").read_text()
