"""Scripts that never call optbench, run to their result: records while they run, files of their own, shared ones."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optbench.config import load
from optbench.errors import ConfigError
from optbench.records import Record
from optbench.scripts.shared_files import hold
from optbench.sessions.execute import FinishedRun, execute

ARGS = ("script.args='{optimizer.lr} {run_folder}/m.json'", "script.metric=acc", "script.direction=max")
PRINT = "import json, sys, time\n\ndef say(**row):\n    print(json.dumps(row), flush=True)\n\n"
Start = Callable[..., FinishedRun]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that runs a script of this text with some overrides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))

    def run(text: str, *overrides: str, **options: Any) -> FinishedRun:
        Path("train.py").write_text(PRINT + text)
        settings = ["script=./train.py", "tracker=none", "script.patience_seconds=0.2", *ARGS, *overrides]
        return execute(load(settings), tmp_path / "results", **options)

    return run


class Times:
    """A sink that notes when each record came."""

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def start(self, run: object) -> None:
        """Do nothing."""

    def log(self, record: Record) -> None:
        """Note the time."""
        self.seen[record.step] = time.monotonic()

    def tick(self, step: int) -> None:
        """Do nothing."""

    def finish(self, result: object) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def test_records_come_while_the_script_runs(start: Start) -> None:
    times = Times()
    text = "for step in (10, 20, 30):\n    say(step=step, acc=step / 100, train_loss=1 / step)\n"
    ended = start(text + "time.sleep(2.5)\nsay(acc=0.5)\n", sinks=lambda folder: [times])
    done = time.monotonic()
    assert ended.result["status"] == "completed" and ended.result["final"]["val_metric"] == 0.5
    assert set(times.seen) == {10, 20, 30} and done - times.seen[10] > 1
    assert ended.result["wall_seconds"] > 2.4
    lines = [json.loads(line) for line in (ended.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(r["step"], r["val_metric"]) for r in lines if "val_metric" in r] == [
        (10, 0.1),
        (20, 0.2),
        (30, 0.3),
        (30, 0.5),  # a row without a step of its own
    ]


@pytest.mark.parametrize(
    ("text", "overrides", "status", "reason"),
    [
        ("say(step=5, acc=0.1)\nsay(step=9, train_loss=float('nan'))\n", [], "diverged", "training loss is nan"),
        ("say(acc=float('nan'))\n", [], "diverged", "the validation metric is nan"),
        ("say(step=1, acc=0.9)\n" + "time.sleep(60)\n", ["target=0.8", "stop_at_target=true"], "stopped_at", "0.8"),
        ("say(step=1, acc=0.9)\ntime.sleep(60)\n", ["max_seconds=1.5"], "timed_out", "at step"),
        ("say(accuracy=0.9)\n", [], "failed", "no metric: no acc in the script's output"),
        ("pass\n", ["script.read=m.json"], "failed", "no metric: m.json: the script wrote no such file"),
        ("open('m.json', 'w').write('{')\n", ["script.read=m.json"], "failed", "no metric: no acc in m.json"),
    ],
)
def test_endings(start: Start, text: str, overrides: list[str], status: str, reason: str) -> None:
    ended = start(text, *overrides)
    assert ended.result["status"].startswith(status), ended.result["reason"]
    assert reason in ended.result["reason"]


@pytest.mark.parametrize("read", ["''", "' '", "'{nothing}/m.json'", "'m{.json'"])
def test_a_place_that_is_none_is_refused_before_the_start(start: Start, read: str) -> None:
    with pytest.raises(ConfigError, match=r"^script\.read"):
        start("open('started', 'w')\n", f"script.read={read}")
    assert not Path("started").exists()


def test_a_setting_that_the_arguments_leave_out_is_told(start: Start) -> None:
    ended = start("say(acc=0.5)\n", "optimizer.lr=0.1", "optimizer.weight_decay=0.2", "optimizer.impl=torch")
    told = "set, but never read by the script: optimizer.weight_decay, optimizer.impl"
    assert ended.result["notes"] == [told]


def test_a_file_in_the_run_folder(start: Start) -> None:
    text = "open(sys.argv[2], 'w').write('{\"acc\": 0.5, \"test\": 0.25}')\n"
    ended = start(text, "script.read='{run_folder}/m.json'", "script.test_metric=test")
    assert (ended.result["final"]["val_metric"], ended.result["final"]["test_metric"]) == (0.5, 0.25)


def test_runs_that_share_a_file_are_refused_while_another_has_it(start: Start, tmp_path: Path) -> None:
    text = "open('m.json', 'w').write('{\"acc\": 0.5}')\n"
    with hold(f"{tmp_path}/m.json"), pytest.raises(ConfigError, match=r"another run reads its metric from .*m\.json"):
        start(text, "script.read=m.json")
    for seed in (0, 1):  # one after the other
        ended = start(text, "script.read=m.json", f"seed={seed}")
        assert ended.result["final"]["val_metric"] == 0.5
