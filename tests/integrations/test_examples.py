"""The examples as a user runs them: a sweep of two optimizers, and the report."""

from __future__ import annotations

import csv
import difflib
import json
import statistics
from pathlib import Path

import pytest

from optbench.cli.app import main
from optbench.config import load
from optbench.sessions.execute import execute

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
UNTOUCHED = [
    "script.args=--optimizer {optimizer.name} --lr {optimizer.lr} --weight-decay {optimizer.weight_decay}"
    " --seed {seed} --steps {steps}",
    "script.metric=val_accuracy",
    "script.test_metric=test_accuracy",
    "script.direction=max",
]
SWEEPS = {
    "plain_loop": ["optimizer=lion,adamw", "steps=300"],
    "untouched_script": ["optimizer=sgd,adamw", "steps=300", *UNTOUCHED],
    "hf_trainer": ["optimizer=lion,adamw", "steps=100", "batch_size=16"],
    "lightning": ["optimizer=lion,adamw", "steps=200"],
}
OPTIONS = ["--trials", "2", "--seeds", "2", "--jobs", "2", "--study"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SWEEPS)
def test_an_example_is_swept_to_a_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / name)
    monkeypatch.setenv("OPTBENCH_RESULTS_DIR", str(tmp_path / "results"))
    words = ["script=./train.py", "threads=1", "tracker=none", *SWEEPS[name]]
    with pytest.raises(SystemExit) as left:
        main(["sweep", *words, *OPTIONS, name])
    assert left.value.code == 0
    results = [json.loads(f.read_text()) for f in (tmp_path / "results" / name).glob("*/result.json")]
    assert len(results) == 8 and {result["status"] for result in results} == {"completed"}
    finals: dict[str, list[float]] = {}
    for file in (tmp_path / "results" / name).glob("*/run.json"):
        run, result = (json.loads((file.parent / part).read_text()) for part in ("run.json", "result.json"))
        if run["stage"] == "final":
            finals.setdefault(run["config"]["optimizer"]["name"], []).append(result["final"]["test_metric"])
    with pytest.raises(SystemExit) as left:
        main(["report", str(tmp_path / "results" / name), "-o", str(tmp_path / "report")])
    assert left.value.code == 0
    with (tmp_path / "report" / "tables" / "leaderboard.csv").open() as table:
        reported = {row["contender"]: float(row["test"]) for row in csv.DictReader(table)}
    assert reported == {label: pytest.approx(statistics.fmean(values)) for label, values in finals.items()}


def test_the_plain_loop_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES / "plain_loop")
    overrides = ["script=./train.py", "optimizer=lion", "steps=60", "threads=1", "tracker=none"]
    ended = execute(load(overrides), tmp_path / "results")
    assert ended.result["status"] == "completed", ended.result["reason"]
    assert ended.result["final"]["test_metric"] > 0.3 and ended.result["notes"] == []


def test_the_plain_loop_differs_in_six_lines() -> None:
    before, after = ((EXAMPLES / "plain_loop" / f"train{end}.py").read_text() for end in ("_before", ""))
    new = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line.startswith("+ ")]
    assert len([line for line in new if line.strip("+ ")]) == 6
