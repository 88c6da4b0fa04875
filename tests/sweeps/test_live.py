"""What is shown of a running sweep."""

from __future__ import annotations

from pathlib import Path

from optbench.sweeps.display.live import Live
from optbench.sweeps.scheduler.scheduler import Conductor
from optbench.sweeps.study.cells import expand
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import make_study


def test_each_workload_has_its_own_metric_and_direction(tmp_path: Path) -> None:
    study = make_study(["optimizer=sgd", "model=mlp,quadratic", "steps=20"], {"trials": 2, "seeds": 0}, name="s")
    live = Live(4, 1, quiet=True)
    conductor = Conductor(study, expand(study), tmp_path, live)
    assert conductor.plan() == 4
    courses = conductor.courses.courses
    kinds = {0: ("accuracy", "max", [0.3, 0.5]), 1: ("gap", "min", [4.0, 0.1])}
    for number, (metric, direction, values) in kinds.items():
        runs = [run for trial in courses[number].trials for run in trial.runs]
        for run, value in zip(runs, values, strict=True):
            live._note(run, Outcome(run.run_id, "completed", metric=metric, direction=direction, val=value))
    assert live.metric == "accuracy/gap"
    assert [live.best(course) for course in courses] == ["0.5", "0.1"]
