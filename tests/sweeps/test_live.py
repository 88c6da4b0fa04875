"""The display of a running sweep."""

from __future__ import annotations

from pathlib import Path

from optbench.sweeps.display.live import LiveDisplay
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.scheduler.study_progress import runs_by_cell
from optbench.sweeps.study.expand import expand, planned
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
    assert live.metric == ""
    assert [live.best(cell) for cell in cells] == ["0.5 accuracy", "0.1 gap"]
    live._progress = scheduler.progress
    assert "best so far" in [column.header for column in live.table().columns]
    assert "; best so far: mlp 0.5 accuracy, quadratic 0.1 gap;" in live.summary()


def test_the_time_left_is_estimated_by_cell(tmp_path: Path) -> None:
    """A second of a function and ten minutes of a network: the mean of the runs so far says nothing."""
    words = ["optimizer=sgd,adamw", "model=mlp,quadratic", "steps=20"]
    study, cells = planned(make_study(words, {"trials": 4, "shortlist": 0, "seeds": 0}, name="s"))
    live = LiveDisplay(runs_by_cell(study, cells), 2, quiet=True)
    scheduler = Scheduler(study, cells, tmp_path, live)
    scheduler.plan()
    live.refresh(scheduler.progress)
    runs = {cell.cell.label: [run for t in cell.trials for run in t.runs] for cell in scheduler.progress.cells}

    def end(label: str, seconds: float) -> None:
        run = runs[label].pop(0)
        live.ended(
            run, Outcome(run.run_id, "completed", metric="x", direction="min", val=1.0, wall_seconds=seconds), tmp_path
        )

    assert live.time_left() == "time left: not known yet"
    end("sgd quadratic", 1.0)
    end("adamw quadratic", 1.0)
    assert live.time_left() == "time left: not known yet"  # of the network nothing is known
    end("sgd mlp", 600.0)
    seconds = live.times.seconds_left([], [cell.cell for cell in live.cells])
    assert seconds == 3 * 1.0 + 3 * 1.0 + 3 * 600.0 + 4 * 600.0  # adamw as long as sgd on the same workload
    assert live.time_left() == "about 35 min 3 s left"  # two at a time
    end("adamw mlp", 1200.0)
    assert live.times.seconds_left([(runs["adamw mlp"][0], 0.5, None)], [cell.cell for cell in live.cells]) == (
        3 * 1.0 + 3 * 1.0 + 3 * 600.0 + 2.5 * 1200.0
    )


def test_the_speed_of_a_running_run_counts_before_any_has_ended(tmp_path: Path) -> None:
    study, cells = planned(
        make_study(["optimizer=sgd", "model=mlp"], {"trials": 4, "shortlist": 0, "seeds": 1}, name="s")
    )
    live = LiveDisplay(runs_by_cell(study, cells), 1, quiet=True)
    scheduler = Scheduler(study, cells, tmp_path, live)
    scheduler.plan()
    run = scheduler.waiting[0]
    assert live.times.expected == 5
    assert live.times.seconds_left([(run, 0.25, 100.0)], cells) == 4.75 * 100.0
    assert live.times.seconds_left([(run, 0.0, None)], cells) is None
