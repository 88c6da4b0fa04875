"""Training scripts of the user, run to their result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optbench.config import load
from optbench.sessions.execute import FinishedRun, execute

ATTACH = 'import optbench\nrun = optbench.attach(metric="accuracy", direction="max")\n'
TAKES = ATTACH + 'run._use("optimizer")\n'  # as run.optimizer(model) does, without importing torch
Start = Callable[..., FinishedRun]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that runs a script of this text with some overrides."""
    monkeypatch.chdir(tmp_path)

    def run(text: str, *overrides: str, **options: Any) -> FinishedRun:
        Path("train.py").write_text(text)
        config = load(["script=./train.py", "tracker=none", "script.patience_seconds=0.5", *overrides])
        return execute(config, tmp_path / "results", **options)

    return run


def rows(ended: FinishedRun) -> list[dict[str, Any]]:
    """Return the records of a run."""
    return [json.loads(line) for line in (ended.folder / "metrics.jsonl").read_text().splitlines()]


def test_a_script_is_recorded_and_has_a_result(start: Start) -> None:
    loop = "for step in range(1, run.steps + 1):\n    run.log(step=step, train_loss=1 / step)\n"
    ended = start(TAKES + loop + "run.finish(val_metric=0.75, test_metric=0.5)\n", "steps=50")
    assert ended.result["status"] == "completed"
    assert ended.result["final"]["val_metric"] == 0.75
    assert ended.result["final"]["test_metric"] == 0.5
    assert ended.result["metric"] == "accuracy"
    assert [row["step"] for row in rows(ended)] == [1, 20, 40]
    assert ended.result["samples"] == 50 * 64
