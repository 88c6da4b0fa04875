"""Targets: the rule on outcomes made by hand, the file, and the runs that have it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optbench import config
from optbench.cli import app
from optbench.config.target import workload_sha256
from optbench.config.variation import Variation
from optbench.errors import ConfigError
from optbench.sessions.run_documents import target_hash
from optbench.sweeps import target_file, targets
from optbench.sweeps.study.outcomes import Outcome

MLP = ("model=mlp", "threads=1", "tracker=none")


def rerun(best: float | None, test: float | None = None, status: str = "completed", direction: str = "max") -> Outcome:
    return Outcome("run", status, metric="metric", direction=direction, val=best, best_val=best, test=test)


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_the_target_is_the_median_and_its_test_value_the_worst_of_those_that_reached_it() -> None:
    reruns = [rerun(b, t) for b, t in [(0.75, 0.5), (0.875, 0.25), (0.5, 0.125), (1.0, 0.75), (0.25, 0.0)]]
    assert targets.validation_target(reruns, "max") == 0.75
    assert [targets.reached(o, 0.75, "max") for o in reruns] == [True, True, False, True, False]
    assert targets.test_target(reruns, 0.75, "max") == 0.25


def test_smaller_errors_are_better() -> None:
    reruns = [rerun(b, t, direction="min") for b, t in [(3.0, 4.0), (1.0, 2.0), (2.0, 5.0)]]
    assert targets.validation_target(reruns, "min") == 2.0
    assert targets.test_target(reruns, 2.0, "min") == 5.0  # of the runs at 1 and 2


def test_a_rerun_that_failed_is_worse_than_all_others() -> None:
    diverged = rerun(0.9, status="diverged")
    assert targets.validation_target([rerun(0.5), rerun(0.75), diverged], "max") == 0.5
    assert targets.validation_target([rerun(0.5), rerun(0.75), diverged], "min") == 0.75
    assert targets.validation_target([rerun(0.5), diverged], "max") is None
    assert targets.validation_target([rerun(0.5), diverged, rerun(None)], "min") is None
    assert not targets.reached(diverged, 0.5, "max")


def test_no_test_value_if_no_run_that_reached_the_target_has_one() -> None:
    assert targets.test_target([rerun(1.0, None), rerun(0.0, 0.5)], 1.0, "max") is None


def test_the_median_run_reaches_the_target() -> None:
    accuracy = 26 / 27  # 0.962962962...: rounded up, the run itself would miss it
    assert targets.validation_target([rerun(accuracy)], "max") == 0.962962
    assert targets.validation_target([rerun(2 / 3)], "min") == 0.666667
    assert targets.validation_target([rerun(0.1)], "max") == 0.1
    assert math.copysign(1.0, targets.round_easier(-0.0, "min")) == 1.0


@given(st.floats(-1e12, 1e12).filter(lambda x: x == 0 or abs(x) > 1e-300), st.sampled_from(["min", "max"]))
def test_rounding_eases_a_target_by_less_than_its_sixth_digit(value: float, direction: str) -> None:
    rounded = targets.round_easier(value, direction)
    assert targets.reached(rerun(value), rounded, direction)
    assert abs(rounded - value) <= 1e-5 * abs(value)
    assert targets.round_easier(rounded, direction) == rounded


# -- the file ----------------------------------------------------------------------------------------------------------


def tree(**changes: Any) -> dict[str, Any]:
    """Return the content of a target file of the MLP on digits."""
    loaded = config.load(MLP)
    made = {
        "value": 0.9,
        "metric": "accuracy",
        "direction": "max",
        "test_value": 1e-05,
        "steps": loaded.steps,
        "batch_size": loaded.batch_size,
        "version": 1,
        "data_sha256": "d1",
        "procedure": {"optimizers": ["adamw"], "boxes": {"adamw": {"optimizer.lr": "log [0.1, 1]"}}, "overrides": []},
        "procedure_sha256": "12e5",
        "workload_sha256": workload_sha256(loaded),
        "best": {"optimizer": "adamw", "values": {"optimizer.lr": 1e-05, "optimizer.nesterov": True}},
        "reached": 3,
        "device": "a CPU: of 2 cores",
        "set_on": "2026-01-31",
    }
    return made | changes


def written(folder: Path, **changes: Any) -> Path:
    file = folder / "target" / "mlp-digits.yaml"
    target_file.write(file, tree(**changes))
    return file


def test_the_file_holds_the_tree_and_comments_every_key(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert config.read_yaml(file) == tree()
    first, *lines = file.read_text().splitlines()
    assert first.startswith("# Target of mlp-digits")
    assert all("  # " in line for line in lines if not line.startswith("    "))
    assert "1.0e-05" in file.read_text()  # without a point YAML 1.1 reads text
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_the_version_increases_with_a_new_result(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert target_file.write(file, tree(set_on="2027-01-01")) == (tree(), tree())  # the same target: not written again
    assert target_file.write(file, tree(value=0.8))[0]["version"] == 2
    assert target_file.write(file, tree(value=0.8, data_sha256="d2"))[0]["version"] == 3
    assert config.read_yaml(file)["version"] == 3


# -- the runs that have it ---------------------------------------------------------------------------------------------


def test_a_run_has_the_target_of_its_workload(tmp_path: Path) -> None:
    file = written(tmp_path)
    composition = config.Composition(MLP, tmp_path)
    loaded = composition.run_config()
    assert loaded.target == 0.9
    assert loaded.target_source is not None
    assert loaded.target_source.procedure_sha256 == "12e5"
    assert composition.origin("target") == str(file)
    for same in ("steps=7", "seed=3", "optimizer=lion", "optimizer.lr=0.5", "schedule=linear", "threads=2"):
        assert config.load([*MLP, same], tmp_path).target == 0.9


@pytest.mark.parametrize(
    "other",
    ["model.hidden=[16]", "data.augment.flip=true", "batch_size=32", "data=cifar10", "target=none", "target=null"],
)
def test_another_workload_does_not_have_it(tmp_path: Path, other: str) -> None:
    written(tmp_path)
    composition = config.Composition([*MLP, other], tmp_path)
    loaded = composition.run_config()
    assert loaded.target is None
    assert loaded.target_source is None
    assert composition.origin("target") == (f"override {other}" if "target" in other else "conf/root/run.yaml")


def test_the_hash_of_a_target_is_not_claimed_for_other_data(tmp_path: Path) -> None:
    written(tmp_path)
    loaded = config.load(MLP, tmp_path)
    assert target_hash(loaded, "d1") == "12e5"
    assert target_hash(loaded, "d2") is None
    assert target_hash(config.load([*MLP, "target=0.9"], tmp_path), "d1") is None


def test_the_user_overrides_the_file(tmp_path: Path) -> None:
    written(tmp_path)
    loaded = config.load([*MLP, "target=0.5"], tmp_path)
    assert (loaded.target, loaded.target_source) == (0.5, None)
    (tmp_path / "workload").mkdir()
    workload = tmp_path / "workload" / "mlp-digits.yaml"
    workload.write_text("# @package _global_\ntarget: 0.25\n")
    composition = config.Composition(MLP, tmp_path)
    assert (composition.run_config().target, composition.run_config().target_source) == (0.25, None)
    assert composition.origin("target") == str(workload)


def test_a_target_is_part_of_the_identity_only_if_the_run_stops_at_it(tmp_path: Path) -> None:
    plain = config.load([*MLP, "target=none"])
    written(tmp_path)
    assert config.load(MLP, tmp_path).run_id == plain.run_id == config.load([*MLP, "target=0.5"]).run_id
    stopped = config.load([*MLP, "stop_at_target=true"], tmp_path)
    assert stopped.run_id != plain.run_id
    assert stopped.run_id == config.load([*MLP, "stop_at_target=true", "target=0.9"]).run_id
    assert stopped.run_id != config.load([*MLP, "stop_at_target=true", "target=0.5"]).run_id


def test_stop_at_target_needs_a_target(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(
        ConfigError, match="model=mlp data=digits has none\nSet target=VALUE, or run: optbench targets set mlp"
    ):
        config.load([*MLP, "stop_at_target=true", "target=none"], tmp_path)


def test_a_variation_of_the_workload_loses_the_target_and_finds_it_again(tmp_path: Path) -> None:
    written(tmp_path)
    smoothing = "model.task.label_smoothing"
    has = Variation(config.Composition(MLP, tmp_path))
    assert has.at({"optimizer.lr": 0.5, "seed": 3}).target == 0.9
    assert has.at({smoothing: 0.1}).target is None
    has_not = Variation(config.Composition([*MLP, f"{smoothing}=0.1"], tmp_path))
    assert has_not.base.target is None
    found = has_not.at({smoothing: 0.0})
    assert (found.target, found.target_source) == (0.9, has.base.target_source)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("value: 0.5\n", "batch_size: missing"), (None, "value=high: expected a number")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, expected: str) -> None:
    file = written(tmp_path)
    file.write_text(text or file.read_text().replace("value: 0.9", "value: high", 1))
    with pytest.raises(ConfigError) as caught:
        config.load(MLP, tmp_path)
    assert str(file) in str(caught.value)
    assert expected in str(caught.value)


# -- the command line --------------------------------------------------------------------------------------------------

Said = tuple[int, Any, str]


@pytest.fixture
def optbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return a function that runs the command line in this process: exit code, JSON of stdout, stderr."""

    def run(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main([*words, "--json"])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), json.loads(out), err

    return run


def test_set_then_run_then_list(tmp_path: Path, optbench: Callable[..., Said]) -> None:
    folder, results = tmp_path / "conf", str(tmp_path / "results")
    scale = ("--trials", "2", "--seeds", "3", "--jobs", "2", "--results-dir", results)
    asked = ("targets", "set", "mlp", "steps=20", "threads=1", "tracker=none", *scale, "-o", str(folder))
    code, said, _ = optbench(*asked)
    target, (*_, sweep) = said["target"], said.values()
    assert code == 0
    assert config.read_yaml(folder / "target" / "mlp-digits.yaml") == target
    assert sweep["runs"] == {"planned": 11, "ran": 11, "found": 0}
    assert target["procedure"]["optimizers"] == ["adamw", "nadam", "nesterov", "momentum"]
    best = [json.loads(f.read_text())["best"]["val_metric"] for f in reruns_of(tmp_path / "results")]
    assert len(best) == 3
    assert target["value"] == pytest.approx(sorted(best)[1], rel=1e-5)
    assert target["reached"] >= 2

    code, again, err = optbench(*asked)
    assert (code, again["target"]) == (0, target)
    assert "are already finished" in err
    code, more, _ = optbench(*asked[:3], *asked[4:], "--budget", "0.025")  # 20 of 800 steps: the same runs
    assert (code, more["sweep"]["runs"]["ran"], more["target"]["version"]) == (0, 0, 2)
    assert more["target"]["procedure_sha256"] != target["procedure_sha256"]

    code, ran, _ = optbench("run", *MLP, "steps=20", "--config-dir", str(folder), "--results-dir", results)
    assert code == 0
    assert ran["target"]["value"] == target["value"]
    assert ran["target"]["hash"] == more["target"]["procedure_sha256"]
    code, rows, _ = optbench("targets", "list", "--config-dir", str(folder))
    row = next(row for row in rows if row["workload"] == "mlp-digits")  # beside those of the package
    assert (row["workload"], row["value"], row["holds"]) == ("mlp-digits", target["value"], "yes")


def reruns_of(results: Path) -> list[Path]:
    """Return the results of a study's final stage."""
    found = [file.parent for file in results.glob("target-*/*/run.json")]
    return [run / "result.json" for run in found if json.loads((run / "run.json").read_text())["stage"] == "final"]


def test_no_file_is_written_if_every_optimizer_fails(tmp_path: Path, optbench: Callable[..., Said]) -> None:
    scale = ("--trials", "1", "--seeds", "1", "--jobs", "1", "--results-dir", str(tmp_path / "results"))
    words = ("optimizer=sgd,momentum", "optimizer.lr=1e30", "steps=20", "threads=1", "tracker=none")
    code, said, _ = optbench("targets", "set", "quadratic", *words, *scale, "-o", str(tmp_path / "conf"))
    assert code == 3
    assert "no trial of sgd, momentum succeeded" in said["error"]
    assert not list((tmp_path / "conf").rglob("*.yaml"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mlpp"], "there is no model 'mlpp'"),
        (["mlp", "target=0.5"], "target=0.5: not allowed when setting a target"),
        (["mlp", "batch_size=32,64"], "a target is for one workload"),
        (["mlp", "--seeds", "0"], "--seeds 0"),
        (["mlp", "--budget", "0"], "budgets"),
    ],
)
def test_a_mistake_is_reported_before_anything_runs(
    words: list[str], expected: str, tmp_path: Path, optbench: Callable[..., Said]
) -> None:
    place = ("--results-dir", str(tmp_path / "results"), "-o", str(tmp_path / "conf"))
    code, said, _ = optbench("targets", "set", *words, *place)
    assert code == 2
    assert expected in said["error"]
    assert not list(tmp_path.iterdir())
