"""Ctrl-C more than once: the run is interrupted wherever the signal lands, and the same command goes on."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from conftest import QUICK, rows_of, same_records

from optbench import config
from optbench.errors import Interrupted
from optbench.records import Record
from optbench.sessions.session import execute

WORDS = [*QUICK, "steps=12", "eval_every=4", "record_every=3", "checkpoint_seconds=0"]


def send(number: int, times: int) -> None:
    for _ in range(times):
        os.kill(os.getpid(), number)


class SignallingFile:
    """A file at whose `at`-th write signals arrive. What is saved to memory only, to try it, is no file."""

    def __init__(self, out: IO[bytes], at: int, number: int, times: int) -> None:
        at = 0 if isinstance(out, io.BytesIO) else at
        self.out, self.left, self.number, self.times = out, at, number, times

    def write(self, data: bytes) -> int:
        self.left -= 1
        if self.left == 0:
            send(self.number, self.times)
        return self.out.write(data)

    def flush(self) -> None:
        self.out.flush()


class SignallingSink:
    """A sink at whose methods signals arrive."""

    def __init__(self, method: str, at: int, times: int) -> None:
        self.method, self.left, self.times = method, at, times
        self.results: list[Mapping[str, Any] | None] = []

    def _called(self, method: str) -> None:
        self.left -= method == self.method
        if self.left == 0 and method == self.method:
            send(signal.SIGINT, self.times)

    def start(self, run: Mapping[str, Any]) -> None:
        self._called("start")

    def tick(self, step: int) -> None:
        self._called("tick")

    def log(self, record: Record) -> None:
        self._called("log")

    def finish(self, result: Mapping[str, Any] | None) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return execute(config.load(WORDS), tmp_path_factory.mktemp("calm"))


def assert_goes_on(root: Path, calm: Any, resumed: bool = True) -> None:
    """Assert that the run has no result, and that the same command reaches the same weights and records."""
    folder = root / "runs" / config.load(WORDS).run_id
    assert not (folder / "result.json").exists()
    assert not (folder / "error.txt").exists()
    ended = execute(config.load(WORDS), root)
    assert bool(ended.result["resumed_from_steps"]) == resumed
    assert ended.result["weights_sha256"] == calm.result["weights_sha256"]
    assert same_records(rows_of(ended)) == same_records(rows_of(calm))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("at", [1, 2, 5, 11, 40, 80], ids="write-{}".format)
def test_two_signals_within_the_writing_of_a_checkpoint_wait_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: Any, at: int, number: int
) -> None:
    save = torch.save
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", lambda state, out: save(state, SignallingFile(out, at, number, 2)))
        with pytest.raises(Interrupted) as caught:
            execute(config.load(WORDS), tmp_path)
    assert caught.value.exit_code == 128 + number
    (file,) = tmp_path.glob("runs/*/checkpoints/*")
    assert torch.load(file, weights_only=True)["trainer"]["progress"]["step"] == 1
    assert_goes_on(tmp_path, calm)


@pytest.mark.parametrize("at", [1, 5, 40], ids="write-{}".format)
def test_a_third_signal_ends_a_write_that_hangs_and_keeps_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: Any, at: int
) -> None:
    save, saved = torch.save, []

    def interrupted(state: Any, out: IO[bytes]) -> None:
        if not isinstance(out, io.BytesIO):
            saved.append(state)
        save(state, SignallingFile(out, at if len(saved) == 3 else 0, signal.SIGINT, 3))

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", interrupted)
        with pytest.raises(Interrupted, match="interrupted by SIGINT before its checkpoint was complete"):
            execute(config.load(WORDS), tmp_path)
    assert sorted(file.name[:14] for file in tmp_path.glob("runs/*/checkpoints/*")) == ["step-000000002"]
    assert_goes_on(tmp_path, calm)


def test_an_error_of_the_disk_after_a_signal_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: Any
) -> None:
    save = torch.save

    def full(state: Any, out: IO[bytes]) -> None:
        if isinstance(out, io.BytesIO):
            return save(state, out)
        send(signal.SIGTERM, 1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(Interrupted, match=r"interrupted by SIGTERM .*No space left on device"):
            execute(config.load(WORDS), tmp_path)
    assert_goes_on(tmp_path, calm, resumed=False)


@pytest.mark.parametrize(
    ("method", "at", "times"), [("start", 1, 2), ("log", 1, 2), ("log", 5, 2)], ids=["start", "record", "evaluation"]
)
def test_a_second_signal_in_a_sink_is_an_interruption(
    tmp_path: Path, calm: Any, method: str, at: int, times: int
) -> None:
    sink = SignallingSink(method, at, times)
    with pytest.raises(Interrupted) as caught:
        execute(config.load(WORDS), tmp_path, sinks=lambda folder: [sink])
    assert (caught.value.exit_code, sink.results) == (130, [None])
    assert_goes_on(tmp_path, calm, resumed=method == "log")


@pytest.mark.parametrize("where", ["step", "torch"])
def test_a_second_signal_in_training_is_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calm: Any, where: str
) -> None:
    """An error of another kind, to which torch turned the interruption, too."""
    from optbench.training.loop import Trainer

    take_turns = Trainer.take_turns

    def interrupted(trainer: Trainer, *arguments: Any) -> None:
        if trainer.progress.step == 6:
            try:
                send(signal.SIGINT, 2)
            except KeyboardInterrupt:
                if where == "step":
                    raise
                raise RuntimeError("unexpected pos 64 vs 0") from None
        take_turns(trainer, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_turns", interrupted)
        with pytest.raises(Interrupted):
            execute(config.load(WORDS), tmp_path)
    assert_goes_on(tmp_path, calm)


AT_ONCE = """
import os, signal
from optbench.sessions.stop_signals import SIGNALS, StopSignals
with StopSignals().handled():
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
"""


def test_different_signals_at_the_same_time_stop_at_once_without_a_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


@pytest.mark.parametrize("times", [1, 2])
def test_signals_while_the_result_is_written_do_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    replace: Callable[..., None] = os.replace

    def signalled(old: Any, new: Any) -> None:
        if Path(new).name == "result.json":
            send(signal.SIGINT, times)
        replace(old, new)

    monkeypatch.setattr(os, "replace", signalled)
    sink = SignallingSink("never", 0, 0)
    ended = execute(config.load(WORDS), tmp_path, sinks=lambda folder: [sink])
    assert ended.result["status"] == "completed"
    assert sink.results == [ended.result]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
