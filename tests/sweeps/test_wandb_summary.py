"""A sweep in W&B: its runs in one group, and a table of its cells, as W&B's own reader sees them offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from optbench.cli import app
from optbench.sweeps.display import wandb_summary
from optbench.sweeps.display.live import LiveDisplay
from optbench.sweeps.display.summary import summary_of
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study

ASKED = (
    "optimizer=sgd",
    "model=quadratic",
    "steps=40",
    "threads=1",
    "--trials",
    "1",
    "--seeds",
    "2",
    "--study",
    "s",
)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def inspect(file: Path, *options: str) -> str:
    """Return what `wandb leet inspect` prints about an offline run."""
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent)) or "wandb"
    return subprocess.run(
        [wandb, "leet", "inspect", *options, str(file)], capture_output=True, text=True, check=True
    ).stdout


def run_record(file: Path) -> dict[str, Any]:
    """Return the first record of an offline run."""
    records = (json.loads(line) for line in inspect(file, "--json").splitlines())
    return next(record["run"] for record in records if record["type"] == "run")


def swept(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    """Return the JSON of `optbench sweep` and its log."""
    with pytest.raises(SystemExit) as end:
        app.main(["sweep", *ASKED, *words, "--json", "--results-dir", str(root)])
    out, err = capsys.readouterr()
    assert end.value.code in (0, None), err
    return json.loads(out), err


def test_a_tracked_sweep_is_a_group_with_a_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wandb")
    tree, said = swept(tmp_path, capsys, "tracker=wandb")
    assert said.count("upload with: wandb sync") == 1  # the workers' messages are in their logs

    (file,) = (tmp_path / "s" / "wandb").rglob("*.wandb")
    record = run_record(file)
    assert (record["run_id"], record["run_group"], record["job_type"]) == ("s-summary", "s", "summary")
    summary = json.loads(inspect(file, "--summary", "--json"))["summary"]
    assert (summary["runs"], summary["runs_completed"]) == (3, 3)
    table = json.loads((file.parent / "files" / summary["cells"]["path"]).read_text())
    rows = {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["data"]}
    for cell in tree["cells"]:
        row = rows[cell["cell"]]
        assert summary[f"{cell['cell']}/final_val"] == cell["final_val"]["mean"]
        assert (row["final_val_n"], row["final_val_mean"]) == (2, cell["final_val"]["mean"])
        assert row["final_val_half_width"] == pytest.approx(cell["final_val"]["half_width"])
        assert row["optimizer.lr"] == cell["best"]["optimizer.lr"]

    runs = [run_record(file) for file in (tmp_path / "s").glob("*-s*/wandb/offline-run-*/*.wandb")]
    assert {run["run_group"] for run in runs} == {"s"}
    assert sorted(run["job_type"] for run in runs) == ["final", "final", "tune"]
    assert {run["config"]["update"]["sweep.cell"] for run in runs} == {"sgd"}

    _, again = swept(tmp_path, capsys, "tracker=wandb")
    assert "wandb sync" not in again  # nothing was run


def test_a_sweep_without_a_key_has_no_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, said = swept(tmp_path, capsys)
    assert "no W&B key: not tracked" in said
    assert not list((tmp_path / "s").rglob("wandb"))


def test_a_failing_summary_is_logged_and_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("wandb")
    study = make_study(["optimizer=sgd", "model=quadratic", "tracker=wandb"], {"trials": 1, "seeds": 1}, name="s")
    scheduler = Scheduler(study, expand(study), tmp_path, LiveDisplay({0: 2}, 1, quiet=True))
    scheduler.plan()
    wandb_summary.track(scheduler, summary_of(scheduler))
    assert caplog.messages == []  # nothing was run
    (tmp_path / "s").write_text("a file in the place of the study's folder")
    scheduler.ran = 1
    wandb_summary.track(scheduler, summary_of(scheduler))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the tracker failed (FileExistsError")


def cell(name: str, best: dict[str, Any], val: dict[str, Any] | None) -> dict[str, Any]:
    """Return a cell of a summary."""
    known = {"cell": name, "metric": "loss", "direction": "min", "steps": 10, "evaluated_samples": 80.0, "trials": 2}
    known |= {"failed": 0, "pruned": 0, "tune_score": None}
    return {**known, "best": best, "edges": [["optimizer.lr", "low"]], "final_val": val, "final_test": None}


def test_a_column_holds_numbers_or_texts() -> None:
    spread = {"n": 2, "mean": 0.5, "half_width": 0.1, "min": 0.4, "max": 0.6, "values": [0.4, 0.6]}
    cells = [
        cell("lion", {"optimizer.lr": 1e-3, "optimizer.betas": [0.9, 0.99]}, spread),
        cell("sam", {"optimizer.lr": 0.1, "optimizer.base": "sgd", "optimizer.betas": 1}, None),
    ]
    columns, rows = wandb_summary.table({"cells": cells})
    lion, sam = (dict(zip(columns, row, strict=True)) for row in rows)
    assert (lion["optimizer.lr"], sam["optimizer.lr"]) == (1e-3, 0.1)
    assert (lion["optimizer.betas"], sam["optimizer.betas"]) == ("[0.9, 0.99]", "1")
    assert (lion["optimizer.base"], sam["optimizer.base"]) == (None, "sgd")
    assert (lion["final_val_mean"], lion["final_val_n"], sam["final_val_mean"]) == (0.5, 2, None)
    assert lion["edges"] == "optimizer.lr low"
