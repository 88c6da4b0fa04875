"""Texts of training scripts, and their start. None imports torch, so that each takes a fraction of a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optbench.config import load
from optbench.sessions.execute import FinishedRun, execute

ATTACH = 'import optbench\nrun = optbench.attach(metric="accuracy", direction="max")\n'
TAKES = ATTACH + 'run._use("optimizer")\n'  # as run.optimizer(model) does, which imports torch
LOOP = "for step in range(1, run.steps + 1):\n    run.log(step=step, train_loss=1 / step)\n"
FINISH = "run.finish(val_metric=0.5)\n"
Start = Callable[..., FinishedRun]


def run_script(folder: Path, text: str, *overrides: str, **options: Any) -> FinishedRun:
    """Run a script of this text in the working folder; its results go below `folder`."""
    Path("train.py").write_text(text)
    config = load(["script=./train.py", "tracker=none", "script.patience_seconds=0.5", *overrides])
    return execute(config, folder / "results", **options)


def rows(ended: FinishedRun) -> list[dict[str, Any]]:
    """Return the records of a run."""
    return [json.loads(line) for line in (ended.folder / "metrics.jsonl").read_text().splitlines()]
