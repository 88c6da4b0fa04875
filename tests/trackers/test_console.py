"""Progress on the terminal, and the summary of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.records import Record, Split
from optbench.trackers.console import Console, duration, number, size
from optbench.trackers.summary import summary_lines


def record(step: int, split: Split = Split.TRAIN, **values: float) -> Record:
    return Record(
        step=step, samples=step, gradient_evaluations=step, split=split, train_seconds=0, wall_seconds=0, values=values
    )


def drive(console: Console) -> None:
    console.start({"run_id": "the-run", "metric": "accuracy", "hardware": {"cpu": "a CPU"}, "resumed_from_steps": [10]})
    console.log(record(20, train_loss=0.5, samples_per_second=1234.0))
    console.tick(25)
    console.log(record(40, Split.VALIDATION, val_metric=0.75, val_loss=float("nan")))
    console.log(record(40, Split.TEST, test_metric=0.7))
    console.finish(None)


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    drive(Console(40, plain_seconds=0.0))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "the-run on a CPU"
    assert "step 20/40  loss 0.5000  samples/s 1,234" in lines[1]
    assert "val accuracy 0.7500" in lines[-1]
    assert len([line for line in lines if line.startswith("step 40/40")]) == 1


def test_few_lines_when_little_time_goes_by(capsys: pytest.CaptureFixture[str]) -> None:
    drive(Console(40, plain_seconds=100.0))
    assert len(capsys.readouterr().err.splitlines()) == 2  # the run, and its end


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    drive(Console(40, enabled=False))
    assert capsys.readouterr().err == ""


def test_the_progress_bar_ends_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    console = Console(40)
    drive(console)
    assert console._progress is None
    assert "accuracy" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (125, "2 min 5 s"), (7300, "2 h 1 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_and_numbers() -> None:
    assert [size(n) for n in (0, 1023, 2048, 3 * 2**20, 5 * 2**30, None)] == [
        "0 B",
        "1023 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
        "?",
    ]
    assert (number(None), number(0.12345)) == ("-", "0.1235")


RESULT: dict[str, Any] = {
    "run_id": "the-run",
    "status": "diverged",
    "reason": "the loss is nan",
    "metric": "accuracy",
    "final": dict.fromkeys(["test_metric", "val_metric", "train_metric", "test_loss", "val_loss", "train_loss"]),
    "best": None,
    "target": {"value": 0.9, "step": None},
    "resumed_from_steps": [5, 1200],
    "data_verified": False,
    "seconds": {"forward": 1.0, "backward": 3.0, "other": 0.001},
    "wall_seconds": 4.0,
    "train_seconds": 4.0,
    "throughput": {
        "samples_per_second": None,
        "step_ms_median": None,
        "step_ms_p95": None,
        "flops_per_second": 2e9,
        "utilisation": 0.5,
    },
    "bytes": {"parameters": 4096, "optimizer_state": {"float32": 8192, "bfloat16": 2048}, "peak_allocated": 2**30},
}


def test_the_summary_handles_missing_values() -> None:
    text = "\n".join(
        summary_lines({"algorithm": "lion", "implementation": "ours", "engine": "eager"}, RESULT, Path("results/x"))
    )
    for expected in (
        "diverged: the loss is nan",
        "accuracy 0.9: not reached",
        "backward 75%, forward 25%",
        "NOT VERIFIED",
        "from step 5, 1,200",
        "optimizer state 10.0 KiB",
        "peak 1.0 GiB on the device",
        "50% of the device's peak",
        "lion by ours (eager)",
        "results/x",
    ):
        assert expected in text
