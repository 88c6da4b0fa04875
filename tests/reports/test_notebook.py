"""optbench from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from made_runs import write_study

import optbench
from optbench.errors import ConfigError, NoResultsError
from optbench.reports.read.columns import COLUMNS

QUICK = ["optimizer=lion", "model=mlp", "steps=20", "tracker=none", "eval_every=10"]


def test_a_run_and_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = optbench.run(QUICK, results_dir=tmp_path)
    again = optbench.run(QUICK, results_dir=tmp_path)
    assert first == again and first["status"] == "completed" and Path(first["folder"]).is_dir()
    found = optbench.results(tmp_path)
    assert found.runs.columns == list(COLUMNS)
    row = found.runs.row(0, named=True)
    assert (row["contender"], row["steps"], row["val"]) == ("lion", 20, first["final"]["val_metric"])
    assert row["seconds"]["forward"] == first["seconds"]["forward"]
    assert row["state_bytes"] == sum(first["bytes"]["optimizer_state"].values())
    records = found.records(["step", "split", "val_metric"])
    assert records.columns == ["run_id", "step", "split", "val_metric"]
    last = records.filter(pl.col("split") == "validation").row(-1, named=True)
    assert (last["step"], last["val_metric"]) == (20, first["final"]["val_metric"])
    assert capsys.readouterr().out == ""
    assert repr(found) == "<1 run of 1 study>"


def test_bad_input_raises_an_optbench_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lin"):
        optbench.run(["optimizer=lin"], results_dir=tmp_path)
    with pytest.raises(ConfigError, match="plain folder name"):
        optbench.run(QUICK, study="../x", results_dir=tmp_path)
    with pytest.raises(NoResultsError):
        optbench.results(tmp_path / "nowhere")
    with pytest.raises(AttributeError, match="nothing"):
        _ = optbench.nothing


def test_a_run_with_a_wrong_type_is_left_out_and_listed(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"a": [0.5], "b": [0.6]})
    file = study / "a-final-0-s1000" / "run.json"
    file.write_text(file.read_text().replace('"optbench": "0"', '"optbench": 7'))
    found = optbench.results(study)
    assert found.runs["contender"].to_list() == ["b"]
    assert found.skipped == (("made/a-final-0-s1000", "not in the shape of a run: TypeError('optbench_version is 7')"),)


def test_import_loads_nothing_heavy() -> None:
    code = "import optbench, sys; print(sorted({'torch', 'polars', 'hydra', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_module_of_runs_does_not_hide_the_function() -> None:
    import optbench.sessions.session

    assert callable(optbench.run)
