"""The display of a running sweep."""

from __future__ import annotations

from pathlib import Path

from optbench.sweeps.display.live import LiveDisplay
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import make_study


def test_each_workload_has_its_own_metric_and_direction(tmp_path: Path) -> None:
    study = make_study(["optimizer=sgd", "model=mlp,quadratic", "steps=20"], {"trials": 2, "seeds": 0}, name="s")
    live = LiveDisplay({0: 2, 1: 2}, 1, quiet=True)
    scheduler = Scheduler(study, expand(study), tmp_path, live)
    assert scheduler.plan() == 4
    cells = scheduler.progress.cells
    kinds = {0: ("accuracy", "max", [0.3, 0.5]), 1: ("gap", "min", [4.0, 0.1])}
    for number, (metric, direction, values) in kinds.items():
        runs = [run for trial in cells[number].trials for run in trial.runs]
        for run, value in zip(runs, values, strict=True):
            live._add(run, Outcome(run.run_id, "completed", metric=metric, direction=direction, val=value))
    assert live.metric == "accuracy/gap"
    assert [live.best(cell) for cell in cells] == ["0.5", "0.1"]
