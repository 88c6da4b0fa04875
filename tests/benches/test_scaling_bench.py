"""`optbench bench scaling`: the model's arithmetic, and a small study under the true scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.benches import scaling
from optbench.benches.sweeping import writers
from optbench.benches.sweeping.paced import conducted
from optbench.errors import ConfigError
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study


def test_a_study_takes_as_long_as_its_workers_or_its_scheduler() -> None:
    assert scaling.expected(4000, 1000, 100.0, 0.001) == (pytest.approx(4 * 100 + 1), pytest.approx(104))
    assert scaling.expected(4000, 1000, 1.0, 0.01) == (pytest.approx(4 + 10), pytest.approx(4000 * 0.01 + 1))
    assert scaling.line_through((100, 2.0), (200, 3.0)) == (pytest.approx(1.0), pytest.approx(0.01))
    assert scaling.line_through((100, 3.0), (200, 2.0)) == (pytest.approx(2.5), 0.0)  # no cost falls with more runs
    with pytest.raises(ConfigError, match="lengths=soon"):
        scaling.numbers("lengths", "soon")


def test_workers_that_only_take_time_bring_a_study_to_its_end(tmp_path: Path) -> None:
    words = ["optimizer=lion,sgd", "model=quadratic", "threads=1", "steps=20"]
    study = make_study(words, {"trials": 8, "seeds": 0})
    done = conducted(study, expand(study), tmp_path, workers=4, seconds=0.2)
    assert done.runs == len(done.scheduler.outcomes) == 16
    assert done.scheduler.progress.is_done and not done.scheduler.failures()
    assert 16 / 4 * 0.2 <= done.conduct_seconds < 10
    assert done.ledgers >= 1


def test_the_writers_leave_run_folders(tmp_path: Path) -> None:
    calls = writers.waits_for_disk(lambda: writers.write_one(tmp_path, "counted", {"schema": 1}, "one"))
    assert calls == 3  # run.json, metrics.jsonl, result.json
    folder = tmp_path / "counted" / "one"
    assert {entry.name for entry in folder.iterdir()} >= {"run.json", "metrics.jsonl", "result.json"}
    seconds, calls = writers.checkpoint_cost(tmp_path, rounds=2)
    assert 0 < seconds < 5
    assert calls == 3  # metrics.jsonl, the checkpoint and its folder
    assert [file.name for file in tmp_path.glob("checkpoints/one/checkpoints/*")] == ["step-000000003.pt"]


@pytest.mark.slow
def test_the_whole_bench() -> None:
    quick = {"runs": 64, "workers": 8, "lengths": "0.2", "at_once": "1,2", "seconds": 0.5}
    found = scaling.measure(config.load(["model=quadratic"]), print, **quick)  # type: ignore[arg-type]
    assert len(found["checks"]) == 2 and len(found["writers"]) == 2
    assert found["bottleneck"] in {row["part"] for row in found["parts"] if row["bound_seconds"]}
    assert any(found["bottleneck"] in line for line in scaling.lines(found))
