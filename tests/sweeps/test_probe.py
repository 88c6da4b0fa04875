"""The plan of a sweep: its counts are exact, its estimates come from a timed probe, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.cli import app
from optbench.sweeps.dry_run.probe import coarse_key, fine_key
from optbench.sweeps.dry_run.probe_worker import ProbeResult
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study

DIGITS = ("model=mlp", "steps=60", "threads=1", "record_every=20", "eval_every=25")
FUNCTION = ("model=quadratic", "steps=40", "threads=1")
Sweep = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Return a function that runs `optbench sweep` in this process: exit code, JSON, stderr."""

    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main(["sweep", *words, "--json", "--jobs", "1", "--results-dir", str(tmp_path / "results")])
        out, err = capsys.readouterr()
        return int(end.value.code or 0), json.JSONDecoder().raw_decode(out)[0], err

    return run


def test_a_plan_counts_and_estimates_and_writes_nothing(sweep: Sweep, tmp_path: Path) -> None:
    code, tree, said = sweep(
        "optimizer=lion,sam", *DIGITS, "--trials", "4", "--shortlist", "1", "--seeds", "2", "--dry-run"
    )
    assert code == 0, said
    lion, sam = tree["cells"]
    assert [cell["cell"] for cell in tree["cells"]] == ["lion", "sam"]
    assert (lion["steps"], sam["steps"]) == (60, 30)  # sam evaluates twice a step
    assert lion["evaluated_samples"] == sam["evaluated_samples"] == 60 * lion["batch_size"]
    assert lion["box"]["optimizer.lr"].startswith("log [")
    for cell in (lion, sam):
        assert cell["trials"] == 4
        assert cell["runs"] == {"tune": {"planned": 6, "ended": 0}, "final": {"planned": 2, "ended": 0}}
        assert cell["run_seconds"] > cell["steps"] * cell["step_seconds"] > 0
        assert cell["resident_bytes"] > 50e6  # Python with torch
        assert cell["disk_bytes"]["final"] > cell["disk_bytes"]["tune"] > 0
        assert f"probing {cell['cell']}: " in said
    assert tree["runs"] == {"planned": 16, "ended": 0}
    assert tree["evaluated_samples"] == 16 * lion["evaluated_samples"]
    sum_of_runs = 8 * (lion["run_seconds"] + sam["run_seconds"])
    assert tree["seconds"] == pytest.approx(tree["start_seconds"] + sum_of_runs)
    of_a_run = [cell["disk_bytes"] for cell in (lion, sam)]
    assert tree["disk_bytes"] == sum(6 * disk["tune"] + 2 * disk["final"] for disk in of_a_run)
    assert "16 runs, 0 of them already finished" in tree["lines"][0]
    assert not (tmp_path / "results").exists()


def test_the_estimated_disk_is_right_and_ended_runs_cost_nothing(sweep: Sweep, tmp_path: Path) -> None:
    asked = ("optimizer=adamw", *DIGITS, "--trials", "2", "--seeds", "1")
    _, plan, _ = sweep(*asked, "--dry-run")
    code, _, said = sweep(*asked)
    assert code == 0, said
    files = [file for file in (tmp_path / "results").rglob("*") if file.is_file()]
    taken = sum(file.stat().st_size for file in files if file.parent.name != plan["study"])
    assert 0.8 * taken < plan["disk_bytes"] < 1.25 * taken
    before = {file: file.stat().st_mtime_ns for file in files}

    _, after, _ = sweep(*asked, "--dry-run")
    assert after["runs"] == {"planned": 3, "ended": 3}
    assert after["seconds"] == after["disk_bytes"] == after["evaluated_samples"] == 0
    _, more, _ = sweep(*asked[:-3], "4", "--seeds", "1", "--dry-run")
    assert more["cells"][0]["runs"] == {"tune": {"planned": 10, "ended": 2}, "final": {"planned": 1, "ended": 0}}
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "results").rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("words", "code", "cell", "why"),
    [
        (("optimizer=lion", "data=digits,imagenet", "model=vit"), 4, "imagenet", "imagenet not found"),
        (("optimizer=lion,kfac", "model=gan"), 2, "kfac", "does not fit model=gan"),
    ],
)
def test_a_cell_that_cannot_be_built_is_shown_and_ends_the_command(
    sweep: Sweep, tmp_path: Path, words: tuple[str, ...], code: int, cell: str, why: str
) -> None:
    asked = (*words, "threads=1", "steps=20", f"data_dir={tmp_path}", "--allow-unequal")
    ended, tree, said = sweep(*asked, "--trials", "1", "--seeds", "1", "--dry-run")
    assert ended == code
    by_name = {row["cell"]: row for row in tree["cells"]}
    assert why in by_name[cell]["refused"]["error"]
    assert by_name[cell]["refused"]["exit_code"] == code
    assert by_name[cell]["run_seconds"] is None
    (other,) = by_name.keys() - {cell}
    assert by_name[other]["refused"] is None
    assert tree["seconds"] == pytest.approx(tree["start_seconds"] + 2 * by_name[other]["run_seconds"])
    assert any(line.startswith(f"{cell} cannot be run: ") for line in tree["lines"])
    assert f"optbench: {cell}: " in said
    assert "Traceback" not in said


def test_a_cell_that_fails_in_its_first_steps_is_found(sweep: Sweep) -> None:
    asked = ("optimizer=sgd", "optimizer.lr=1e20", "model=mlp", "steps=20", "threads=1", "schedule=constant")
    code, tree, _ = sweep(*asked, "record_every=1", "--allow-unequal", "--trials", "1", "--seeds", "1", "--dry-run")
    assert code == 3
    assert "at step " in tree["cells"][0]["refused"]["error"]


def test_a_plan_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "optimizer=sgd,lion", *FUNCTION, "--trials", "4", "--seeds", "2", "--extend-edges", "--dry-run"]
    with pytest.raises(SystemExit) as end:
        app.main([*words, "--jobs", "2", "--results-dir", str(tmp_path)])
    out = capsys.readouterr().out
    assert end.value.code in (0, None)
    assert "10 + 2" in out
    assert "24 runs, 0 of them already finished" in out
    assert "with 2 at a time" in out
    assert "--extend-edges may add up to 16 runs to every cell" in out


def test_the_time_of_a_run_computed_by_hand() -> None:
    """100 steps of 10 ms, 4 evaluations of 200 samples, the last of them at the end, 300 test samples, 500 of the
    1,000 training samples, at 1 ms each, and 2 s beside: 2 + 1 + 0.8 + 0.3 + 0.5 = 4.6 s."""
    found = ProbeResult(
        step_seconds=0.010,
        evaluation_seconds=0.001,
        sizes={"train": 1000, "validation": 200, "test": 300},
        start_seconds=2.0,
        record_bytes=400,
        facts_bytes=1000,
        checkpoint_bytes=50_000,
        resident_bytes=0,
        device_bytes=0,
        steps=30,
    )
    overrides = ["model=mlp", "steps=100", "eval_every=30", "record_every=10", "eval_train_samples=500"]
    asked = config.load(overrides)
    assert found.seconds(asked) == pytest.approx(4.6)
    assert found.seconds(replace(asked, max_seconds=1.5)) == pytest.approx(3.5)
    assert found.file_bytes(asked, keeps_checkpoint=False) == (10 + 4 + 2) * 400 + 2 * 1000
    assert found.file_bytes(asked, keeps_checkpoint=True) == (10 + 4 + 2) * 400 + 2 * 1000 + 50_000 + 4 * 100


def test_cells_that_share_a_probe() -> None:
    def load(*words: str) -> config.RunConfig:
        return config.load(["model=mlp", *words])

    plain = load("optimizer=lion")
    assert fine_key(plain) == fine_key(load("optimizer=lion", "steps=77", "seed=5"))
    for other in ("optimizer.lr=0.5", "batch_size=17", "schedule=constant", "threads=7", "model.hidden=[9]"):
        assert fine_key(plain) != fine_key(load("optimizer=lion", other)), other
    assert coarse_key(plain) == coarse_key(load("optimizer=lion", "optimizer.lr=0.5", "schedule=constant", "clip=agc"))
    assert coarse_key(plain) != coarse_key(load("optimizer=lion", "batch_size=17"))
    assert coarse_key(plain) != coarse_key(load("optimizer=adamw"))
    assert coarse_key(load("optimizer=adamw")) != coarse_key(load("optimizer=adamw", "optimizer.impl=timm"))


def test_a_ladder_is_one_probe(sweep: Sweep) -> None:
    _, tree, said = sweep(
        "optimizer=lion", *FUNCTION, "--budgets", "0.5,1", "--trials", "1", "--seeds", "1", "--dry-run"
    )
    assert said.count("probing ") == 1
    assert tree["cells"][0]["step_seconds"] == tree["cells"][1]["step_seconds"]
    assert [cell["steps"] for cell in tree["cells"]] == [20, 40]
    study = make_study(["optimizer=lion", *FUNCTION], {"budgets": [0.5, 1.0]})
    assert len({fine_key(cell.config) for cell in expand(study)}) == 1


def test_a_searched_cell_is_timed_at_the_smallest_learning_rate() -> None:
    (cell,) = expand(make_study(["optimizer=sgd", "model=mlp"], {"trials": 4}))
    assert cell.lowest_corner.optimizer.settings["lr"] < cell.config.optimizer.settings["lr"]
    words = ["optimizer=sgd", "model=mlp", "optimizer.lr=0.5"]
    (cell,) = expand(make_study(words, {"searched": False}))
    assert cell.lowest_corner is cell.config
