"""The executor of one machine: number of workers, their devices and memory, and how a worker ends."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config
from optbench.errors import ConfigError, MissingError
from optbench.sessions.session import execute
from optbench.store import Document, RunFolder
from optbench.sweeps.executors import fork_server, local, machine, registry
from optbench.sweeps.executors.base import Event, Job, RunEnded, RunRefused, RunStarted, RunStopped, WorkerDied
from optbench.training import cpu

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


@pytest.mark.parametrize(
    ("jobs", "threads", "crowded"), [(None, 2, False), (2, 2, False), (3, 2, True), (None, 8, True)]
)
def test_runs_that_share_cores_are_told_and_their_threads_sleep_early(
    jobs: int | None, threads: int, crowded: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(cpu, "running_others", lambda: 0)
    for name in cpu.USERS:
        monkeypatch.setenv(name, "")  # restored at the end
        monkeypatch.delenv(name)
    monkeypatch.setattr(forkserver, "ensure_running", lambda: None)
    runs = [config.load([*QUICK, "device=cpu", f"threads={threads}"])]
    request = registry.ExecutorRequest(runs, Path("study"), jobs, 1, {})
    with caplog.at_level("INFO"):
        local.make(request).close()
    local.warm_up(runs, jobs)
    assert any("share 4 cores" in text for text in caplog.messages) == crowded
    assert (cpu.SPIN_COUNT in os.environ) == crowded


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
    assert executor.has_room(job, 0, 0)
    if free is not None:
        assert not executor.has_room(job, free, 0)


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


def forked_result(root: Path, run: config.RunConfig) -> Document:
    """Return the result of a run in the study."""
    return RunFolder(root, "study", run.run_id).result() or {}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_the_server_prepares_runs_and_starts_no_thread() -> None:
    """A thread of the server would not live in its forks: the first run that needs it would hang."""
    code = """
import gc, os
from optbench.sweeps.executors import before_imports
import numpy, torch
from optbench.sessions import session
before = len(os.listdir("/proc/self/task"))
from optbench.sessions import before_fork
from optbench.training.provenance import git_state
print(before_fork.may_compute(), len(os.listdir("/proc/self/task")) - before, git_state.cache_info().currsize)
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(not torch.cuda.is_available()), "0", "1", "True", "True"]


def test_workers_report_how_they_end(tmp_path: Path) -> None:
    """One run completes, one is refused, one is stopped with a reason, one is killed; all from one server."""
    loaded = {
        "whole": config.load([*QUICK, "steps=20"]),
        "threads": config.load([*QUICK, "steps=20", "threads=2"]),  # the server itself has computed with one
        "refused": config.load([*QUICK, "data=cifar10", f"data_dir={tmp_path}"]),
        "stopped": config.load([*QUICK, "steps=1000000"]),
        "killed": config.load([*QUICK, "steps=1000001"]),
    }
    executor = local.LocalExecutor(5, list(loaded.values()))
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
    for name in ("whole", "threads"):
        assert last[name] == RunEnded(name)
        alone = execute(loaded[name], tmp_path, study="alone")
        assert forked_result(tmp_path, loaded[name])["weights_sha256"] == alone.result["weights_sha256"]
    folder = tmp_path / "study" / loaded["stopped"].run_id
    assert list((folder / "checkpoints").iterdir())
    assert "data=cifar10 not found" in (tmp_path / "study" / "logs" / "refused.txt").read_text()


# -- a killed fork server ----------------------------------------------------------------------------------------------


def kill_server() -> None:
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)


def light_work(pipe: Connection, job: Job, environment: dict[str, str]) -> None:
    """Stand in for a run, without torch: end when asked to, or when the scheduler is gone."""
    pipe.send(RunStarted(job.run_id, "accuracy", "max", None))
    try:
        pipe.send(RunStopped(job.run_id, pipe.recv()))
    except EOFError:
        Path(job.root, f"{job.run_id} is alone").touch()


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Return a function that starts a light worker by name, after a new fork server that imports little."""
    forkserver._forkserver._stop()
    monkeypatch.setattr(fork_server, "PRELOADED", ())
    monkeypatch.setattr(fork_server, "LAST", "optbench.sweeps.executors.worker")
    monkeypatch.setattr(local, "work", light_work)
    executor = local.LocalExecutor(4, [])
    loaded = config.load(QUICK)

    def start(name: str) -> None:
        executor.start(Job(name, "tune", loaded, tmp_path, "study"))

    start.executor = executor
    yield start
    executor.close()
    forkserver._forkserver._stop()


def heard(executor: local.LocalExecutor, count: int) -> list[Event]:
    """Return the next events, at least so many."""
    found: list[Event] = []
    give_up = time.monotonic() + 60
    while len(found) < count and time.monotonic() < give_up:
        found += executor.events(0.2)
    assert len(found) >= count
    return found


def killed_before_its_answer(connect: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that asks the server for a process, and kills it before it answers, the first two times."""
    left = [kill_server] * 2

    def connecting(fds: Any) -> Any:
        forkserver.ensure_running()
        if left:
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGSTOP)
        answer = connect(fds)
        if left:
            left.pop()()
        return answer

    return connecting


def test_a_killed_fork_server_is_started_again_and_its_workers_go_on(
    light: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kill it while it imports, while its workers run, and at the moment of a fork."""
    executor = light.executor
    local.warm_up([])
    kill_server()
    light("a")
    light("b")
    assert {event.run_id for event in heard(executor, 2)} == {"a", "b"}
    kill_server()
    assert list(executor.events(1.0)) == []
    assert executor.running == ["a", "b"]
    with monkeypatch.context() as patch:
        patch.setattr(forkserver, "connect_to_new_process", killed_before_its_answer(forkserver.connect_to_new_process))
        light("c")
    assert heard(executor, 1) == [RunStarted("c", "accuracy", "max", None)]
    for name in ("a", "b", "c"):
        executor.stop(name, "enough")
    assert sorted(heard(executor, 3), key=str) == [RunStopped(name, "enough") for name in ("a", "b", "c")]
    assert executor.running == []


def test_an_orphan_that_is_killed_has_died(light: Any) -> None:
    light("a")
    heard(light.executor, 1)
    kill_server()
    list(light.executor.events(1.0))
    assert light.executor.running == ["a"]
    light.executor._workers["a"].kill()
    assert heard(light.executor, 1) == [WorkerDied("a", "ended after the fork server was killed")]


def test_a_server_that_is_killed_each_time_is_one_message(light: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(fds: Any) -> Any:
        raise EOFError

    monkeypatch.setattr(forkserver, "connect_to_new_process", killed)
    monkeypatch.setattr(fork_server, "PAUSE_SECONDS", 0.01)
    with pytest.raises(MissingError, match="the fork server cannot start a process: it was killed"):
        light("a")
    assert light.executor.running == []


def test_a_fork_server_imports_nothing_from_the_working_folder(
    light: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the command itself, unless it was started as `python -m optbench`."""
    for name in ("logging", "selectors", "optbench"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path\nPath('imported').touch()\n")
    monkeypatch.chdir(tmp_path)
    light("a")
    heard(light.executor, 1)
    assert not (tmp_path / "imported").exists()
    assert "PYTHONSAFEPATH" not in os.environ
