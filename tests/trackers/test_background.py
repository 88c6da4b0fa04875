"""Tracking can neither stop nor slow down a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from optbench.contracts import Sink
from optbench.records import Record, Split
from optbench.trackers.background import BackgroundSink


def record(step: int) -> Record:
    return Record(
        step=step, samples=step, gradient_evaluations=step, split=Split.TRAIN, train_seconds=0, wall_seconds=0
    )


class Kept(Sink):
    """Keeps its input; subclasses misbehave."""

    def __init__(self) -> None:
        self.started: list[Mapping[str, Any]] = []
        self.steps: list[int] = []
        self.results: list[Mapping[str, Any] | None] = []

    def start(self, run: Mapping[str, Any]) -> None:
        self.started.append(run)

    def log(self, record: Record) -> None:
        self.steps.append(record.step)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        self.results.append(result)


class Raises(Kept):
    def log(self, record: Record) -> None:
        raise SystemExit("the tracker gives up")


class Slow(Kept):
    def log(self, record: Record) -> None:
        time.sleep(0.05)
        super().log(record)


class Stuck(Kept):
    def log(self, record: Record) -> None:
        threading.Event().wait()


def drive(sink: Kept, records: int, **seconds: float) -> float:
    tracker = BackgroundSink(sink, **seconds)
    tracker.start({"run_id": "x"})
    began = time.monotonic()
    for step in range(records):
        tracker.log(record(step))
    logging_seconds = time.monotonic() - began
    tracker.finish({"status": "completed"})
    return logging_seconds


def test_everything_arrives_in_order(caplog: pytest.LogCaptureFixture) -> None:
    sink = Kept()
    drive(sink, 500)
    assert sink.steps == list(range(500))
    assert (sink.started, sink.results) == ([{"run_id": "x"}], [{"status": "completed"}])
    assert caplog.messages == []


def test_errors_are_counted_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Raises()
    drive(sink, 50)
    assert len(caplog.messages) == 2
    assert "SystemExit: the tracker gives up" in caplog.messages[0]
    assert "failed 50 times" in caplog.messages[1]
    assert sink.results == [{"status": "completed"}]


def test_a_slow_tracker_does_not_slow_down_the_run() -> None:
    sink = Slow()
    seconds = drive(sink, 40, log_seconds=0.01)
    assert seconds < 0.5  # 40 x 0.05 s of work
    assert sink.steps == list(range(40))


def test_a_stuck_tracker_is_abandoned_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    seconds = drive(Stuck(), 20, log_seconds=0.01, finish_seconds=0.2)
    assert seconds < 0.5
    assert len(caplog.messages) == 1
    assert "did not finish within 0.2 s" in caplog.messages[0]
