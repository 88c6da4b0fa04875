"""`optbench bench sweep_overhead`: its figures, from the files that a sweep leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from optbench.benches import sweep_overhead


def write_run(study: Path, name: str, started: float, ended: float, training: float) -> None:
    """Write what the bench reads of a run; its first step ends 0.25 s after its start."""
    folder = study / name
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    (folder / "metrics.jsonl").write_text(json.dumps({"wall_seconds": 0.25}) + "\n")
    (folder / "result.json").write_text(json.dumps({"wall_seconds": training}))
    os.utime(folder / "run.json", (started, started))
    os.utime(folder / "result.json", (ended, ended))


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 1.5), (2, 1.75)])
def test_the_cost_of_a_run_is_without_its_training_and_the_start_ends_with_the_first_step(
    tmp_path: Path, jobs: int, seconds: float
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.json").write_text("{}")
    for number in range(3):  # a result each two seconds
        write_run(study, f"run-{number}", 1003.0 + 2 * number, 1004.0 + 2 * number, 0.5)
    cost = sweep_overhead.cost_of(tmp_path, 1000.0, jobs)
    assert cost == {"runs": 3, "run_seconds": seconds, "training_seconds": 0.5, "start_seconds": 3.25}
