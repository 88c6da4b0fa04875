"""Slurm and Ray: the same results as on one machine, kills, and faults of a cluster."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.errors import ConfigError, MissingError, StorageError
from optbench.store.private import cache_folder
from optbench.sweeps.executors import registry, remote_worker
from optbench.sweeps.executors.base import (
    Event,
    Job,
    RunBusy,
    RunEnded,
    RunEvaluated,
    RunProgress,
    RunRefused,
    RunStarted,
    RunStopped,
    WorkerDied,
    WorkerStarted,
)
from optbench.sweeps.executors.mailbox import SchedulerMailbox, read_pulse, write_event
from optbench.sweeps.scheduler import study_file

PATIENCE_SECONDS = 120.0
FUNCTION = ("optimizer=adamw", "model=quadratic", "steps=50", "threads=1", "tracker=none")
LONG = ("optimizer=adamw", "model=quadratic", "steps=16000", "threads=1", "tracker=none", "checkpoint_seconds=0.2")
SLURM, RAY = "slurm,cluster=local,lease_seconds=5", "ray,address=local,lease_seconds=5"
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its victims in /proc")


@contextlib.contextmanager
def started(results: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep in a process of its own."""
    command = [sys.executable, "-m", "optbench", "sweep", *words, "--study", "x", "--results-dir", str(results)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def swept(results: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    """Return a sweep's exit code, JSON and stderr."""
    with started(results, *words, "--json") as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, json.JSONDecoder().raw_decode(out)[0] if out else {}, err


def results_of(results: Path) -> dict[str, dict[str, Any]]:
    return {file.parent.name: json.loads(file.read_text()) for file in results.glob("x/[!.]*/result.json")}


def losses(results: Path) -> dict[str, Any]:
    return {run: (result["final"], result["weights_sha256"]) for run, result in results_of(results).items()}


def cells_of(tree: dict[str, Any]) -> list[tuple[str, ...]]:
    keys = ("cell", "trials", "best", "tune_score", "edges", "final_val", "final_test")
    return [tuple(str(cell[key]) for key in keys) for cell in tree["cells"]]


def waited_for(condition: Callable[[], Any], what: str) -> Any:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < give_up, f"still waiting for {what}"
        time.sleep(0.02)
    return answer


def checkpoints(results: Path) -> list[Path]:
    return list(results.glob("x/*/checkpoints/step-*.pt"))


def workers(results: Path, run_id: str = "*") -> list[int]:
    """Return the process ids of the workers so far, from their logs."""
    logs = results.glob(f"x/logs/{run_id}.txt")
    return [int(number) for log in logs for number in re.findall(r", process (\d+)$", log.read_text(), re.MULTILINE)]


def alive(pids: list[int]) -> list[int]:
    running = []
    for pid in pids:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            running += [pid] if state != "Z" else []
    return running


# -- the same study everywhere -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("package", "executor"), [("submitit", SLURM), ("ray", RAY)])
def test_the_same_study_on_a_cluster(package: str, executor: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    asked = ("optimizer=lion,adamw", "model=mlp", "steps=30", "threads=1", "tracker=none")
    asked = (*asked, "--trials", "2", "--seeds", "1", "--jobs", "2")
    here, there = tmp_path / "here", tmp_path / "there"
    (code, tree, err), (code_there, tree_there, err_there) = (
        swept(here, *asked),
        swept(there, *asked, "--executor", executor),
    )
    assert (code, code_there) == (0, 0), err + err_there
    assert len(losses(here)) == 6
    assert losses(here) == losses(there)
    assert cells_of(tree) == cells_of(tree_there)
    assert not (there / "x" / ".workers").exists()
    again = swept(there, *asked)  # on the other executor: the same study, nothing to do
    assert (again[0], again[1]["runs"]["ran"]) == (0, 0)


def test_a_small_study_through_submitit(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    code, tree, err = swept(tmp_path, *FUNCTION, "--trials", "1", "--seeds", "0", "--executor", SLURM)
    assert code == 0, err
    assert tree["statuses"] == {"completed": 1}
    run = json.loads(next(tmp_path.glob("x/*/run.json")).read_text())
    assert run["sweep"]["executor"] == "slurm"
    assert not list((cache_folder() / "slurm").glob("sweep-*"))


# -- what is killed ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize(("package", "executor"), [("submitit", SLURM), ("ray", RAY)])
def test_killed_workers_and_schedulers_lose_nothing(package: str, executor: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    asked = (*LONG, "--trials", "2", "--seeds", "0", "--jobs", "2")
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    assert swept(calm, *asked)[0] == 0
    with started(wild, *asked, "--executor", executor) as process:
        waited_for(lambda: len(checkpoints(wild)) > 1, "two checkpoints")
        process.kill()
        process.wait()
        orphans = workers(wild)
        waited_for(lambda: not alive(orphans), "the orphans to go")
    assert not results_of(wild)
    with started(wild, *asked, "--executor", executor) as process:
        fresh = waited_for(lambda: set(workers(wild)) - set(orphans), "a worker")
        time.sleep(2.0)
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert len(workers(wild)) > 2 + len(fresh)
    assert losses(wild) == losses(calm)
    assert any(result["resumed_from_steps"] for result in results_of(wild).values())


@pytest.mark.slow
@needs_proc
def test_an_interrupted_sweep_leaves_checkpoints_and_no_jobs(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    asked = (*LONG, "--trials", "2", "--seeds", "0", "--jobs", "2", "--executor", SLURM)
    with started(tmp_path, *asked) as process:
        waited_for(lambda: len(checkpoints(tmp_path)) > 1, "two checkpoints")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, err
    assert "interrupted: 0 of 2 planned runs are finished" in err
    assert "Traceback" not in err
    assert not alive(workers(tmp_path))
    assert len({file.parent for file in checkpoints(tmp_path)}) == 2


# -- a worker by itself ------------------------------------------------------------------------------------------------


def job_of(root: Path, *overrides: str) -> Job:
    loaded = config.load([*(overrides or FUNCTION)])
    return Job(loaded.run_id, "tune", loaded, root, "x")


def in_a_process(payload: remote_worker.Payload, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a worker as a cluster would."""
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(payload))
    code = "import json, sys; from optbench.sweeps.executors.remote_worker import run_payload as w; "
    code += "print('said:', w(json.load(open(sys.argv[1]))), file=open(sys.argv[2], 'w'))"
    return subprocess.Popen([sys.executable, "-c", code, str(file), str(tmp_path / "said.txt")], text=True)


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[SchedulerMailbox]:
    with study_file.scheduler_lock(tmp_path / "x"):
        mailbox = SchedulerMailbox(tmp_path / "x")
        yield mailbox
        mailbox.close()


def test_a_worker_with_other_versions_refuses(mailbox: SchedulerMailbox, tmp_path: Path) -> None:
    payload = remote_worker.payload_of(job_of(tmp_path), "a.0", mailbox.folder, 3.0)
    assert remote_worker.worker_problem(payload) == ""
    for name in ("optbench", "torch"):
        other = {**payload, "versions": {**payload["versions"], name: "0.0.1"}}
        assert re.fullmatch(
            rf"the worker on \S+ has {name} \S+, the scheduler 0\.0\.1", remote_worker.worker_problem(other)
        )
        assert remote_worker.run_payload(other) == remote_worker.worker_problem(
            other
        )  # and nothing of the job was read


def test_a_worker_without_the_shared_folder_refuses(mailbox: SchedulerMailbox, tmp_path: Path) -> None:
    payload = remote_worker.payload_of(job_of(tmp_path), "a.0", tmp_path / "elsewhere", 0.6)
    assert "the results folder must be shared by all machines" in remote_worker.worker_problem(payload)


def test_a_worker_refuses_if_locks_are_not_shared(tmp_path: Path) -> None:
    with study_file.scheduler_lock(tmp_path / "x"):
        mailbox = SchedulerMailbox(tmp_path / "x")
        payload = {**remote_worker.payload_of(job_of(tmp_path), "a.0", mailbox.folder, 5.0), "host": "another"}
        assert remote_worker.worker_problem(payload) == ""
    problem = remote_worker.worker_problem(payload)  # nobody holds the lock, and the pulse continues
    assert "two processes could write one run" in problem
    mailbox.close()


@pytest.mark.slow
def test_a_worker_whose_scheduler_is_gone_leaves_a_checkpoint(mailbox: SchedulerMailbox, tmp_path: Path) -> None:
    job = job_of(tmp_path, *LONG, "steps=1000000")
    process = in_a_process(remote_worker.payload_of(job, "a.0", mailbox.folder, 3.0), tmp_path)
    try:
        waited_for(lambda: checkpoints(tmp_path), "a checkpoint")
        mailbox._closed.set()  # the pulse stops, as of a scheduler that was killed
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
    heard = mailbox.new_events("a.0", job.run_id)
    assert isinstance(heard[0], WorkerStarted)
    assert heard[0].process == process.pid
    assert heard[-1] == RunStopped(job.run_id)
    assert checkpoints(tmp_path)


@pytest.mark.slow
def test_a_run_survives_the_time_limit_of_its_job(mailbox: SchedulerMailbox, tmp_path: Path) -> None:
    """The same holds for a stop by the scheduler, which has its reason."""
    job = job_of(tmp_path, *LONG, "steps=1000000")
    for attempt in ("a.0", "a.1"):
        process = in_a_process(remote_worker.payload_of(job, attempt, mailbox.folder, 10.0), tmp_path)
        before = checkpoints(tmp_path)
        try:
            waited_for(lambda before=before: set(checkpoints(tmp_path)) - set(before), "a further checkpoint")
            if attempt == "a.0":
                process.send_signal(signal.SIGUSR2)
            else:
                mailbox.stop(attempt, "hopeless")
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()
        last = mailbox.new_events(attempt, job.run_id)[-1]
        assert isinstance(last, WorkerDied) if attempt == "a.0" else last == RunStopped(job.run_id, "hopeless")
    assert checkpoints(tmp_path)


# -- words -------------------------------------------------------------------------------------------------------------


def test_events_arrive_whole_once_and_in_order(tmp_path: Path) -> None:
    mailbox = SchedulerMailbox(tmp_path)
    try:
        assert mailbox.new_events("a.0", "a") == []
        write_event(mailbox.folder, "a.0", RunProgress("a", 3))
        write_event(mailbox.folder, "a.0", RunEvaluated("a", 10, 0.5, 1))
        assert mailbox.new_events("a.0", "a") == [RunProgress("a", 3), RunEvaluated("a", 10, 0.5, 1)]
        assert mailbox.new_events("a.0", "a") == []
        write_event(mailbox.folder, "a.0", RunEnded("a"))
        file = mailbox.folder / "a.0.events"
        whole = file.read_bytes()
        file.write_bytes(whole[:-4])
        assert mailbox.new_events("a.0", "a") == []
        file.write_bytes(whole)
        assert mailbox.new_events("a.0", "a") == [RunEnded("a")]
    finally:
        mailbox.close()
    assert not list(tmp_path.iterdir())
    write_event(mailbox.folder, "a.0", RunEnded("a"))  # to nobody


HOSTILE = {
    "pickle": base64.b64encode(pickle.dumps(RunEnded("a"))),
    "a class of another module": b'{"kind": "subprocess.Popen", "run_id": "a", "args": "true"}',
    "an event that nobody sends": b'{"kind": "Event", "run_id": "a"}',
    "a list": b"[1, 2]",
    "half a line": b'{"kind": "RunEnd',
    "not UTF-8": b'{"kind": "\xff"}',
    "nested": b"[" * 100_000,
    "a wrong type": b'{"kind": "RunProgress", "run_id": "a", "step": "3"}',
    "a boolean number": b'{"kind": "RunProgress", "run_id": "a", "step": true}',
    "a negative step": b'{"kind": "RunProgress", "run_id": "a", "step": -1}',
    "a missing field": b'{"kind": "RunEvaluated", "run_id": "a", "step": 1}',
    "a run of its own": b'{"kind": "RunEnded", "run_id": "../b"}',
    "an error of Python's": b'{"kind": "RunRefused", "run_id": "a", "error": {"error": "SystemExit", "message": "x"}}',
    "what errors.py imports": b'{"kind": "RunRefused", "run_id": "a", "error": {"error": "Iterable", "message": "x"}}',
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_what_no_worker_wrote_is_ignored_with_a_notice(
    line: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    mailbox = SchedulerMailbox(tmp_path)
    try:
        write_event(mailbox.folder, "a.0", RunProgress("a", 3))
        with open(mailbox.folder / "a.0.events", "ab") as file:
            file.write(line + b"\n" + line + b"\n")
        write_event(mailbox.folder, "a.0", RunEnded("a"))
        assert mailbox.new_events("a.0", "a") == [RunProgress("a", 3), RunEnded("a")]
        assert ["ignored" in text for text in caplog.messages] == [True]  # once per file
    finally:
        mailbox.close()


def test_events_that_are_no_file_are_ignored_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mailbox = SchedulerMailbox(tmp_path)
    try:
        os.mkfifo(mailbox.folder / "fifo.events")  # reading one would wait for ever
        (mailbox.folder / "link.events").symlink_to("/dev/zero")
        assert [mailbox.new_events(name, "a") for name in ("fifo", "link")] == [[], []]
        assert len(caplog.messages) == 2
    finally:
        mailbox.close()


EVENTS = [
    WorkerStarted("a", "host", 7, 1.5),
    RunStarted("a", "accuracy", "max", None),
    RunStarted("a", "accuracy", "max", 40),
    RunEvaluated("a", 10, None, 1),
    RunEvaluated("a", 10, float("inf"), 1),
    RunEvaluated("a", 10, 1, 1),
    RunStopped("a", "hopeless: \N{GREEK SMALL LETTER MU}\n"),
    RunBusy("a"),
    WorkerDied("a", "was killed"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_arrives_as_it_was_sent(event: Event, tmp_path: Path) -> None:
    mailbox = SchedulerMailbox(tmp_path)
    write_event(mailbox.folder, "a.0", event)
    assert mailbox.new_events("a.0", "a") == [event]
    mailbox.close()


def test_a_refusal_arrives_with_its_class_and_hint(tmp_path: Path) -> None:
    mailbox = SchedulerMailbox(tmp_path)
    write_event(mailbox.folder, "a.0", RunRefused("a", StorageError("the disk is full", "Make room")))
    (event,) = mailbox.new_events("a.0", "a")
    mailbox.close()
    assert isinstance(event, RunRefused)
    assert type(event.error) is StorageError
    assert (event.error.message, event.error.hint) == ("the disk is full", "Make room")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"count": "1", "stop": {}}', b'{"count": 1}', b"[" * 100_000])
def test_a_damaged_pulse_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "pulse.json").write_bytes(content)
    assert read_pulse(tmp_path) is None


def test_a_job_is_plain_data_and_comes_back_the_same(tmp_path: Path) -> None:
    job = job_of(tmp_path, "model=gan", "optimizer_d=lion", "lookahead=true")
    payload = remote_worker.payload_of(job, "a.0", tmp_path, 3.0)
    assert Job.from_plain(json.loads(json.dumps(payload))["job"]) == job


def test_submitit_gets_a_folder_that_nobody_else_can_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.sweeps.executors.slurm import job_folder

    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    own = job_folder(None)
    assert own.parent == tmp_path / "cache" / "slurm"
    assert [place.stat().st_mode & 0o777 for place in (own, own.parent)] == [0o700, 0o700]
    (tmp_path / "shared" / "mine").mkdir(parents=True)
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(StorageError, match="other users can replace it") as caught:
        job_folder(str(tmp_path / "shared" / "mine"))
    assert "slurm,folder=PATH" in caught.value.hint
    with pytest.raises(StorageError, match="other users can write to it"):
        job_folder(str(tmp_path / "shared"))
    (tmp_path / "shared").chmod(0o1777)  # as /tmp: others cannot rename what is the user's
    assert job_folder(str(tmp_path / "shared" / "mine")).is_dir()


def test_the_pulse_grows_and_a_new_scheduler_deletes_an_old_one(tmp_path: Path) -> None:
    old = SchedulerMailbox(tmp_path)
    first = read_pulse(old.folder)
    old.stop("a.0", "")
    second = read_pulse(old.folder)
    assert first is not None
    assert second is not None
    assert second[0] > first[0]
    assert second[1] == {"a.0": ""}
    new = SchedulerMailbox(tmp_path)
    assert read_pulse(old.folder) is None
    assert read_pulse(new.folder) is not None
    for mailbox in (old, new):
        mailbox.close()


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lokal", "--executor lokal: unknown executor"),
        ("slurm,partitio=gpu", "--executor slurm: unknown setting partitio\nDid you mean partition?"),
        ("slurm,minutes=0", "--executor slurm: minutes=0: expected"),
        ("slurm,minutes", "--executor slurm,minutes: expected KEY=VALUE"),
        ("local,jobs=2", "--executor local: unknown setting jobs"),
    ],
)
def test_unknown_executors_and_settings(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.choose(text)
    assert str(caught.value).startswith(message)


def test_custom_settings_and_executors(tmp_path: Path) -> None:
    assert registry.choose("slurm,minutes=30,partition=gpu").settings["minutes"] == 30
    (tmp_path / "executor").mkdir()
    (tmp_path / "executor" / "mine.yaml").write_text("about: {target: optbench.sweeps.executors.local}\n")
    assert registry.choose("mine", tmp_path).module == "optbench.sweeps.executors.local"


def make(text: str, tmp_path: Path) -> Any:
    return registry.choose(text).make([config.load(FUNCTION)], tmp_path / "x", None, 1)


def test_no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="there is no sbatch on this machine") as caught:
        make("slurm", tmp_path)
    assert caught.value.exit_code == 4


def test_no_ray_at_that_address(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    began = time.monotonic()
    with pytest.raises(MissingError, match=r"no Ray cluster can be reached at 127\.0\.0\.1:1: .*refused"):
        make("ray,address=127.0.0.1:1", tmp_path)
    assert time.monotonic() - began < 60.0
    assert threading.active_count() < 50


class Falling:
    """A cluster whose jobs end at once without an event, as if workers could not start."""

    def submit(self, payloads: Any) -> list[Any]:
        return [subprocess.Popen(["false"]) for _ in payloads]

    def ended(self, handles: Any) -> dict[str, Any]:
        from optbench.sweeps.executors.cluster import JobEnd

        return {name: JobEnd(None, "ended with exit code 1") for name, job in handles.items() if job.wait() != 0}

    def cancel(self, handle: Any) -> None: ...

    def forget(self, handle: Any) -> None: ...

    def close(self) -> None: ...


def test_jobs_without_any_event_end_the_sweep_not_the_runs(tmp_path: Path) -> None:
    from optbench.sweeps.executors.cluster import ClusterExecutor

    executor = ClusterExecutor(Falling(), 1, tmp_path / "x", 3.0)
    job = job_of(tmp_path)
    try:
        for _ in range(2):
            executor.start(job)
            assert list(executor.events(0.0)) == [WorkerDied(job.run_id, "ended with exit code 1")]
        executor.start(job)
        with pytest.raises(ConfigError, match="3 jobs have ended before their workers could write into"):
            list(executor.events(0.0))
    finally:
        executor.close()


def test_a_wrong_clock_is_logged_once_per_machine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from optbench.sweeps.executors.cluster import SKEW_SECONDS, ClusterExecutor
    from optbench.sweeps.executors.mailbox import write_event

    executor = ClusterExecutor(Falling(), 3, tmp_path / "x", 3.0)
    try:
        for number, (host, apart) in enumerate([("far", 3600.0), ("far", 3600.0), ("late", -900.0), ("near", 20.0)]):
            assert abs(apart) < SKEW_SECONDS or host != "near"
            job = replace(job_of(tmp_path), run_id=f"run-{number}")
            executor.start(job)
            executor._submit()
            write_event(
                executor._mailbox.folder,
                executor._jobs[job.run_id].attempt,
                WorkerStarted(job.run_id, host, 1, time.time() + apart),
            )
            list(executor.events(0.0))
    finally:
        executor.close()
    assert [text.split(":")[0][:-7] for text in caplog.messages] == [
        "the clock of far is 3600 s ahead of this ma",
        "the clock of late is 900 s behind this ma",
    ]


def test_one_slow_poll_does_not_delay_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a queue that takes half a minute to answer."""
    from optbench.sweeps.executors import cluster

    monkeypatch.setattr(cluster, "PAUSE_SECONDS", 0.3)
    executor = cluster.ClusterExecutor(Falling(), 1, tmp_path / "x", 3.0)
    try:
        list(executor.events(0.0))
        executor._look_seconds = 30.0
        began = time.monotonic()
        list(executor.events(0.0))
        assert time.monotonic() - began < 3.0
    finally:
        executor.close()


def test_other_versions_end_the_sweep_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scheduler in this process pretends another version; its worker has the installed one."""
    pytest.importorskip("submitit")
    from optbench.cli import app

    monkeypatch.setattr("optbench.__version__", "9.9.9")
    monkeypatch.chdir(tmp_path)
    words = ["sweep", *FUNCTION, "--trials", "2", "--seeds", "0", "--jobs", "2", "--executor", SLURM, "--study", "x"]
    with pytest.raises(SystemExit) as ended:
        app.main([*words, "--quiet"])
    assert ended.value.code == 4
    said = capsys.readouterr().err
    assert re.search(r"^optbench: the worker on \S+ has optbench \S+, the scheduler 9\.9\.9$", said, re.MULTILINE)
    assert not results_of(tmp_path / "results")
