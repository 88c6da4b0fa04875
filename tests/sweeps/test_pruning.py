"""Pruners end hopeless runs, never the best one, and say why; pruned runs can be finished later."""

from __future__ import annotations

import functools
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.cli import app
from optbench.errors import MissingError
from optbench.sweeps.search.curve_pruning import LATE, evaluation_count, first_rung
from optbench.sweeps.search.pruning import Pruning, make_pruning
from optbench.sweeps.study.cells import TUNE, PlannedRun
from optbench.sweeps.study.outcomes import PRUNED, Outcome
from optbench.sweeps.study.study import Study, make_study

CURVES = ("asha", "hyperband", "median")
EVALUATIONS = 10
BASE = config.load(["optimizer=lion", "model=quadratic", "steps=100", "eval_every=10", "tracker=none"])


def study(pruner: str, **settings: Any) -> Study:
    return make_study(["optimizer=lion", "model=quadratic"], {"pruner": pruner, "tune_seeds": 5, **settings})


@functools.cache
def planned(trial: int, seed: int = 0, cell: int = 0) -> PlannedRun:
    loaded = config.load([*BASE.overrides, f"optimizer.lr={1e-4 * (trial + 1):.4g}", f"seed={seed}"])
    return PlannedRun(cell, TUNE, trial, loaded, loaded.run_id)


def outcome(run: PlannedRun, val: float | None, direction: str = "max", status: str = "completed") -> Outcome:
    return Outcome(run.run_id, status, metric="gap", direction=direction, val=val)


def race(pruning: Pruning, curves: Sequence[Sequence[float | None]], direction: str = "max") -> dict[int, str]:
    """Simulate runs side by side, one evaluation at a time; return the reason of every pruned run."""
    runs = [planned(trial) for trial in range(len(curves))]
    reasons: dict[int, str] = {}
    for evaluation in range(1, EVALUATIONS):
        for trial, run in enumerate(runs):
            if trial in reasons:
                continue
            value = curves[trial][evaluation - 1]
            if reason := pruning.after_evaluation(run, evaluation, value, direction):
                reasons[trial] = reason
                pruning.run_ended(run, outcome(run, value, direction, PRUNED))
    for trial, run in enumerate(runs):
        if trial not in reasons:
            pruning.run_ended(run, outcome(run, curves[trial][-1], direction))
    return reasons


def rising(to: float) -> list[float]:
    return [to * evaluation / EVALUATIONS for evaluation in range(1, EVALUATIONS + 1)]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_asha_ends_the_bad_and_never_the_best(direction: str, tmp_path: Path) -> None:
    """Nine runs, best first. At the first rung (evaluation 1), among n <= 5 runs only the best goes on, among 6 to 8
    the best two, among 9 the best three: none but the first."""
    sign = 1 if direction == "max" else -1
    curves = [[sign * value for value in rising(0.9 - 0.1 * trial)] for trial in range(9)]
    reasons = race(make_pruning(study("asha"), tmp_path), curves, direction)
    assert sorted(reasons) == list(range(1, 9))
    assert reasons[8] == f"asha: {sign * 0.01:.4g} at evaluation 1 is not among the best third"


def test_asha_lets_a_third_go_on(tmp_path: Path) -> None:
    """Worst first, each run is the best so far and passes the first rung. At the second (evaluation 3) they come again
    in this order, and pass; no rung is left to end them."""
    assert race(make_pruning(study("asha"), tmp_path), [rising(0.1 * trial) for trial in range(1, 10)]) == {}


@pytest.mark.parametrize("pruner", CURVES)
def test_the_best_run_is_never_ended(pruner: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(5):
        curves = [[chance.random() for _ in range(EVALUATIONS)] for _ in range(8)]
        best = chance.randrange(8)
        curves[best] = [1.0 + value for value in curves[best]]
        assert best not in race(make_pruning(study(pruner), tmp_path), curves)


@pytest.mark.parametrize("pruner", CURVES)
def test_a_run_near_its_end_may_finish(pruner: str, tmp_path: Path) -> None:
    pruning = make_pruning(study(pruner), tmp_path)
    for trial in range(8):
        run = planned(trial)
        for evaluation in range(1, EVALUATIONS):
            pruning.after_evaluation(run, evaluation, 1.0, "max")
        pruning.run_ended(run, outcome(run, 1.0))
    late = planned(9)
    first = int(LATE * EVALUATIONS) + 1
    for evaluation in range(1, first):
        pruning.after_evaluation(late, evaluation, 1.0, "max")  # ties with all others so far
    assert [pruning.after_evaluation(late, evaluation, 0.0, "max") for evaluation in range(first, EVALUATIONS)] == [
        ""
    ] * 3


def test_median_waits_for_complete_runs(tmp_path: Path) -> None:
    pruning = make_pruning(study("median"), tmp_path)
    for trial in range(5):
        bad = planned(20 + trial)
        assert pruning.after_evaluation(bad, 4, 0.0, "max") == ""
        run = planned(trial)
        for evaluation in range(1, EVALUATIONS):
            pruning.after_evaluation(run, evaluation, 0.1 * evaluation, "max")
        pruning.run_ended(run, outcome(run, 1.0))
    bad = planned(30)
    assert [pruning.after_evaluation(bad, evaluation, 0.01, "max") for evaluation in (1, 2)] == ["", ""]  # warm-up
    assert pruning.after_evaluation(bad, 3, 0.01, "max") == (
        "median: 0.01 at evaluation 3 does not reach the median of complete runs"
    )
    assert pruning.after_evaluation(bad, 3, 0.01, "max")  # taken up again after its worker died: the word stands


@pytest.mark.parametrize("pruner", CURVES)
@pytest.mark.parametrize("strange", [None, math.nan, math.inf, -math.inf])
def test_nan_and_missing_values_do_no_harm(pruner: str, strange: float | None, tmp_path: Path) -> None:
    curves: list[list[float | None]] = [[strange] * EVALUATIONS, list(rising(0.5)), [0.1, strange, *rising(0.4)[2:]]]
    reasons = race(make_pruning(study(pruner), tmp_path), curves * 3)
    assert 1 not in reasons or strange == math.inf
    if pruner == "asha" and (strange is None or math.isnan(strange)):
        assert reasons[0] == "asha: no value at evaluation 1 is not among the best third"


def write_records(folder: Path, run: PlannedRun, values: Sequence[float]) -> None:
    """Write metrics.jsonl of a run with these evaluations, as the store does."""
    rows = [{"step": 10 * (i + 1), "split": "validation", "val_metric": value} for i, value in enumerate(values)]
    rows.insert(1, {"step": 15, "split": "train", "loss": 1.0})
    (folder / run.run_id).mkdir(parents=True)
    (folder / run.run_id / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": ')


@pytest.mark.parametrize("pruner", CURVES)
def test_runs_of_earlier_sessions_count(pruner: str, tmp_path: Path) -> None:
    """A pruner that finds good runs on disk prunes like one that has observed them."""
    seen, found = make_pruning(study(pruner), tmp_path / "none"), make_pruning(study(pruner), tmp_path)
    for trial in range(6):
        run = planned(trial)
        for evaluation, value in enumerate(rising(1.0)[:-1], start=1):
            seen.after_evaluation(run, evaluation, value, "max")
        write_records(tmp_path, run, rising(1.0))
        for pruning in (seen, found):
            pruning.run_ended(run, outcome(run, 1.0))
    for trial in range(10, 14):
        said = [[p.after_evaluation(planned(trial), e, 0.001, "max") for e in range(1, 7)] for p in (seen, found)]
        assert said[0] == said[1]
        assert pruner == "hyperband" or any(said[0])


def test_a_resumed_run_is_judged_by_its_whole_curve(tmp_path: Path) -> None:
    """The run passed the first rung earlier; at evaluation 2, between two rungs, nothing is decided."""
    pruning = make_pruning(study("asha"), tmp_path)
    run, better = planned(0), planned(1)
    write_records(tmp_path, run, [0.5])
    pruning.after_evaluation(better, 1, 0.4, "max")
    assert pruning.after_evaluation(run, 2, 0.3, "max") == ""
    assert pruning.after_evaluation(better, 3, 0.6, "max") == ""
    assert "evaluation 3" in pruning.after_evaluation(run, 3, 0.3, "max")


def test_runs_without_measurements_are_left_out(tmp_path: Path) -> None:
    for pruner in CURVES:
        pruning = make_pruning(study(pruner), tmp_path)
        pruning.run_ended(planned(0), Outcome(planned(0).run_id, "refused", "no such thing"))
        pruning.run_ended(planned(1), outcome(planned(1), None, "max", "diverged"))
        assert pruning.after_evaluation(planned(2), 1, 0.1, "max") == ""


def test_cells_are_compared_separately(tmp_path: Path) -> None:
    pruning = make_pruning(study("asha"), tmp_path)
    for trial in range(6):
        pruning.after_evaluation(planned(trial, cell=0), 1, 1.0, "max")
    assert pruning.after_evaluation(planned(9, cell=1), 1, 0.1, "max") == ""
    assert pruning.after_evaluation(planned(10, cell=0), 1, 0.1, "max")


def test_rungs_fit_the_run() -> None:
    assert evaluation_count(BASE) == EVALUATIONS
    assert [first_rung(n) for n in (1, 5, 10, 18, 100)] == [1, 1, 1, 2, 11]


# -- over seeds --------------------------------------------------------------------------------------------------------


def end(pruning: Pruning, trial: int, scores: Sequence[float | None], direction: str = "min") -> None:
    for seed, score in enumerate(scores):
        run = planned(trial, seed)
        pruning.run_ended(run, outcome(run, score, direction, "completed" if score is not None else "diverged"))


def test_wilcoxon_ends_a_trial_that_is_worse_on_every_seed(tmp_path: Path) -> None:
    """Four seeds out of four worse: p = 1/16; three out of three: p = 1/8, which is above 0.1."""
    pruning = make_pruning(study("wilcoxon"), tmp_path)
    end(pruning, 0, [0.10, 0.20, 0.30, 0.40, 0.50])
    assert pruning.before_start(planned(1, 0)) == ""
    end(pruning, 1, [0.15, 0.26, 0.37])
    assert pruning.before_start(planned(1, 3)) == ""
    end(pruning, 2, [0.15, 0.26, 0.37, 0.48])
    assert pruning.before_start(planned(2, 4)) == "wilcoxon: worse than trial 0 on 4 seeds (p < 0.1)"
    end(pruning, 3, [0.15, 0.16, 0.37, 0.38])  # better on two of four
    assert pruning.before_start(planned(3, 4)) == ""
    assert pruning.after_evaluation(planned(3, 4), 5, 9.9, "min") == ""
    end(pruning, 4, [0.05, 0.16, 0.27, 0.38])  # better on all
    assert pruning.before_start(planned(4, 4)) == ""


def test_wilcoxon_tolerates_failures_and_pruned_trials(tmp_path: Path) -> None:
    pruning = make_pruning(study("wilcoxon"), tmp_path)
    end(pruning, 0, [0.1, None, 0.3, 0.4, 0.5])  # cannot be the best: a seed has no score
    end(pruning, 1, [0.2, 0.3, 0.4, 0.5])
    assert pruning.before_start(planned(1, 4)) == ""
    end(pruning, 1, [0.2, 0.3, 0.4, 0.5, 0.6])
    end(pruning, 2, [0.3, 0.4, 0.5, 0.6])
    last = planned(2, 4)
    assert pruning.before_start(last)
    pruning.run_ended(last, Outcome(last.run_id, PRUNED, "hopeless"))
    assert "worse than trial 1" in pruning.before_start(planned(2, 4))


def test_missing_optuna_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingError, match="--pruner asha needs optuna"):
        make_pruning(study("asha"), tmp_path)


# -- through the command line ------------------------------------------------------------------------------------------

Sweep = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run `optbench sweep` of a function in this process; return its JSON and its stderr."""

    def run(*words: str, results: str = "results") -> tuple[dict[str, Any], str]:
        asked = ["optimizer=lion", "model=quadratic", "threads=1", "tracker=none", "--json", *words]
        with pytest.raises(SystemExit) as ended:
            app.main(["sweep", *asked, "--results-dir", str(tmp_path / results)])
        out, err = capsys.readouterr()
        assert not ended.value.code, err
        return json.JSONDecoder().raw_decode(out)[0], err

    return run


def test_pruned_runs_stay_pruned_and_can_be_finished(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("steps=2000", "--protocol", "classic", "--trials", "5", "--seeds", "1", "--study", "s")
    first, _ = sweep(*asked, "--pruner", "asha", "--jobs", "2")
    pruned = sorted(file.parent for file in tmp_path.glob("results/s/*/pruned.json"))
    assert 0 < len(pruned) == first["statuses"]["pruned"] < 5
    assert first["statuses"]["completed"] == 6 - len(pruned)
    assert not any((folder / "result.json").exists() for folder in pruned)
    again, said = sweep(*asked, "--pruner", "asha", "--jobs", "1")
    assert again["runs"]["ran"] == 0, said
    assert [cell["best"] for cell in again["cells"]] == [cell["best"] for cell in first["cells"]]
    whole, said = sweep(*asked)
    assert whole["statuses"] == {"completed": 6}
    resumed = [json.loads((folder / "result.json").read_text())["resumed_from_steps"] for folder in pruned]
    assert all(steps and 0 < steps[0] < 2000 for steps in resumed)


def test_learnt_points_do_not_depend_on_the_number_of_workers(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("steps=40", "--trials", "12", "--seeds", "1", "--sampler", "tpe", "--study", "s")
    one, _ = sweep(*asked, "--jobs", "1", results="one")
    two, _ = sweep(*asked, "--jobs", "2", results="two")
    assert one["cells"] == two["cells"]
    runs = [{file.parent.name for file in tmp_path.glob(f"{name}/s/*/result.json")} for name in ("one", "two")]
    assert runs[0] == runs[1]
    again, _ = sweep(*asked, results="one")
    assert again["runs"]["ran"] == 0
    assert again["cells"] == one["cells"]
