"""W&B as a mirror: its own reader reads back every record of an offline run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK

from optbench import config
from optbench.config.trees import flatten
from optbench.errors import ConfigError
from optbench.records import Record, Split
from optbench.trackers.wandb import HOME_FOLDERS, Tracker, has_key, spare_home

pytest.importorskip("wandb")


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the one offline run below a folder, from W&B's reader `wandb leet inspect`."""
    return [json.loads(line) for line in inspect(folder, "--json").splitlines()]


def summary_of(folder: Path) -> dict[str, Any]:
    """Return the summary of the one offline run below a folder."""
    return json.loads(inspect(folder, "--summary", "--json"))["summary"]


def inspect(folder: Path, *options: str) -> str:
    """Return the output of `wandb leet inspect` for the one offline run below a folder."""
    (file,) = folder.rglob("*.wandb")
    wandb = shutil.which("wandb", path=str(Path(sys.executable).parent)) or "wandb"
    return subprocess.run(
        [wandb, "leet", "inspect", *options, str(file)], capture_output=True, text=True, check=True
    ).stdout


def values(row: dict[str, Any]) -> dict[str, Any]:
    """Return the logged values of a history row, however the reader nests them."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        found.update(value if isinstance(value, dict) else {key: value})
    return found


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


def test_every_record_can_be_read_back(no_key: None, tmp_path: Path) -> None:
    overrides = [*QUICK[:2], "tracker=wandb", "steps=60", "record_every=5", "eval_every=20"]
    command = [
        sys.executable,
        "-m",
        "optbench",
        "run",
        *overrides,
        "--json",
        "--results-dir",
        str(tmp_path / "results"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    folder = Path(json.loads(done.stdout)["folder"])
    assert done.stderr.count("W&B logs offline; upload with: wandb sync") == 1
    assert "wandb:" not in done.stderr
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    logged = [values(row["history"]) for row in records_of(folder) if row["type"] == "history"]
    assert len(logged) == len(rows) == 17
    for row, seen in zip(rows, logged, strict=True):
        expected = {key: value for key, value in row.items() if value is not None}
        assert {key: seen.get(key) for key in expected} == pytest.approx(expected)


def begun(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Return the start of a run as W&B's reader sees it."""
    tracker = Tracker(folder, "p")
    tracker.start(run)
    tracker.log(Record(step=10, split=Split.VALIDATION, values={"val_metric": 0.5}, **dict.fromkeys(COUNTS, 1)))
    tracker.log(Record(step=20, split=Split.VALIDATION, values={"val_metric": 0.25}, **dict.fromkeys(COUNTS, 1)))
    tracker.finish({"status": "completed"})
    return next(record["run"] for record in records_of(folder) if record["type"] == "run")


COUNTS = ("samples", "tokens", "gradient_evaluations", "train_seconds", "wall_seconds")
CHOICES = {"optimizer": {"name": "lion", "lr": 1e-3}, "model": {"name": "mlp"}, "data": {"name": "digits"}}
RUN = {"run_id": "a-s0-b", "trial_id": "a-b", "study": "s", "stage": "run", "config": {**CHOICES, "precision": "fp32"}}


def test_a_plain_run_is_grouped_with_its_other_seeds(no_key: None, tmp_path: Path) -> None:
    run = begun(tmp_path, {**RUN, "sweep": None})
    assert (run["run_group"], run["job_type"], run["display_name"]) == ("s/a-b", "run", "a-s0-b")
    assert run["tags"] == ["lion", "mlp", "digits", "fp32"]
    assert "trial_id" not in run["config"]["update"]


def test_a_run_of_a_sweep_is_grouped_with_its_study(no_key: None, tmp_path: Path) -> None:
    cell = "lion data.path=" + 60 * "x"  # longer than a tag may be
    sweep = {"cell": cell, "budget": 0.5, "trial": 3, "protocol": "default"}
    run = begun(tmp_path, {**RUN, "stage": "final", "sweep": sweep})
    assert (run["run_group"], run["job_type"], run["display_name"]) == ("s", "final", "a-s0-b")
    assert run["tags"] == ["lion", "mlp", "digits", "fp32", cell[:64]]
    seen = run["config"]["update"]
    assert seen["trial_id"] == "a-b"
    assert {key: seen[f"sweep.{key}"] for key in sweep} == sweep


def test_the_summary_is_the_best_value_but_a_number_for_sweeps_of_wandb(
    no_key: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path / "plain", {**RUN, "direction": "max"})
    assert summary_of(tmp_path / "plain")["val_metric"] == {"max": 0.5}
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    begun(tmp_path / "driven", {**RUN, "direction": "max"})
    assert summary_of(tmp_path / "driven")["val_metric"] == 0.25


# What the agent of a W&B sweep puts in the place of ${args_no_hyphens}: `key=value`, the value as Python's str() has it
# (wandb 0.31, sdk/launch/sweeps/utils.py).
DRAWN = {
    "optimizer": "lion",
    "optimizer.lr": 0.0012345,
    "optimizer.weight_decay": 1e-05,
    "optimizer.betas": [0.9, 0.98],
    "model": "mlp",
    "model.hidden": [48, 16],
    "seed": 3,
    "batch_size": 32.0,
    "compile": False,
    "deterministic": True,
}


def test_arguments_of_a_wandb_sweep_are_overrides() -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    command = {"args": {key: {"value": value} for key, value in DRAWN.items()}}
    words = utils.create_sweep_command_args(command)["args_no_hyphens"]
    assert {"optimizer.weight_decay=1e-05", "compile=False", "deterministic=True"} <= set(words)
    values = flatten(config.load(words).as_dict())
    assert values["optimizer.name"] == "lion"
    assert values["model.name"] == "mlp"
    for key, value in DRAWN.items():
        if key not in ("optimizer", "model"):
            assert values[key] == value, key
            assert isinstance(values[key], bool) == isinstance(value, bool), key


def test_a_nested_parameter_of_a_wandb_sweep_is_refused() -> None:
    """It arrives as one argument with a Python mapping; dotted keys work."""
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(["optimizer={'lr': 0.001}"])


def test_the_key_is_found_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    assert not has_key()
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    assert has_key()
    netrc.write_text("machine my.server login user password secret\n")
    assert not has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://my.server")
    assert has_key()
    netrc.write_text("not a netrc file at all {")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert has_key()


def test_without_the_package_a_message_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    tracker = Tracker(tmp_path, "p")
    tracker.start({"run_id": "x"})
    tracker.finish(None)
    assert caplog.messages == ["W&B is not installed; records go to the results folder only"]


def test_an_unreachable_server_means_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick_run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Only W&B's first answer is faked: its client would wait 20 s for the network."""
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    modes: list[str] = []

    def begin(self: Tracker, run: Any, mode: str) -> Any:
        modes.append(mode)
        if mode == "online":
            raise TimeoutError("no answer\nat all")
        return type("Run", (), {"dir": str(tmp_path / "offline-run" / "files")})()

    monkeypatch.setattr(Tracker, "_begin", begin)
    Tracker(tmp_path, "p").start({"run_id": "x"})
    assert modes == ["online", "offline"]
    assert caplog.messages[0] == "W&B cannot be reached (no answer); logging offline"


@pytest.mark.parametrize("home", ["/dev/null", ""])
def test_an_unwritable_home_leaves_wandb_to_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    for name in HOME_FOLDERS:
        monkeypatch.setenv(name, "x")  # restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home or str(tmp_path))
    spare_home(tmp_path / "run")
    assert [os.environ.get(name) for name in HOME_FOLDERS] == [str(tmp_path / "run") if home else None] * 4


@pytest.mark.slow
def test_a_run_with_an_unwritable_home_prints_nothing_of_wandb(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optbench", "run", *QUICK, "tracker=wandb", "steps=2", "--quiet"]
    environment = {**os.environ, "HOME": "/dev/null", "OPTBENCH_RESULTS_DIR": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert ended.stderr == ""
    assert not [line for line in ended.stdout.splitlines() if "INFO" in line]
