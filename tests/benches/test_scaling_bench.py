"""`optbench bench scaling`: the model's arithmetic, and a small study with the real scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.benches import scaling
from optbench.benches.sweeping import writers
from optbench.benches.sweeping.simulated import simulate_sweep
from optbench.errors import ConfigError
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study


def test_a_study_takes_the_time_of_its_workers_or_of_its_scheduler() -> None:
    assert scaling.expected(4000, 1000, 100.0, 0.001) == (pytest.approx(4 * 100 + 1), pytest.approx(104))
    assert scaling.expected(4000, 1000, 1.0, 0.01) == (pytest.approx(4 + 10), pytest.approx(4000 * 0.01 + 1))
    assert scaling.line_through((100, 2.0), (200, 3.0)) == (pytest.approx(1.0), pytest.approx(0.01))
    assert scaling.line_through((100, 3.0), (200, 2.0)) == (
        pytest.approx(2.5),
        0.0,
    )  # costs never fall
    with pytest.raises(ConfigError, match="lengths=soon"):
        scaling.numbers("lengths", "soon")


def test_simulated_workers_finish_a_study(tmp_path: Path) -> None:
    words = ["optimizer=lion,sgd", "model=quadratic", "threads=1", "steps=20"]
    study = make_study(words, {"trials": 8, "shortlist": 0, "seeds": 0})
    sweep = simulate_sweep(study, expand(study), tmp_path, workers=4, seconds=0.2)
    assert sweep.runs == len(sweep.scheduler.outcomes) == 16
    assert sweep.scheduler.progress.is_done and not sweep.scheduler.failures()
    assert 16 / 4 * 0.2 <= sweep.run_seconds < 10
    assert sweep.study_json_writes >= 1


def test_the_writers_write_run_folders(tmp_path: Path) -> None:
    fsyncs = writers.count_fsyncs(lambda: writers.write_run(tmp_path, "counted", {"schema": 1}, "one"))
    assert fsyncs == 3  # run.json, metrics.jsonl, result.json
    folder = tmp_path / "counted" / "one"
    assert {entry.name for entry in folder.iterdir()} >= {"run.json", "metrics.jsonl", "result.json"}
    seconds, fsyncs = writers.checkpoint_cost(tmp_path, rounds=2)
    assert 0 < seconds < 5
    assert fsyncs == 3  # metrics.jsonl, the checkpoint and its folder
    written = sorted(file.name[:14] for file in tmp_path.glob("checkpoints/one/checkpoints/*"))
    assert written == ["step-000000002", "step-000000003"]


@pytest.mark.slow
def test_the_whole_bench() -> None:
    quick = {"runs": 64, "workers": 8, "lengths": "0.2", "at_once": "1,2", "seconds": 0.5}
    report = scaling.measure(config.load(["model=quadratic"]), **quick)  # type: ignore[arg-type]
    assert len(report["checks"]) == 2 and len(report["writers"]) == 2
    assert report["bottleneck"] in {row["part"] for row in report["parts"] if row["bound_seconds"]}
    assert any(report["bottleneck"] in line for line in scaling.lines(report))
