"""TensorBoard, MLflow and trackio, read back; the key `tracker`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, Call, rows_of

from optbench import config
from optbench.config.trackers import TRACKERS
from optbench.errors import ConfigError, MissingError
from optbench.sessions import sinks
from optbench.sessions.session import execute
from optbench.sessions.sinks import resolved, sinks_for, tracker_class


def tracked(tracker: str, folder: Path, *words: str) -> tuple[Any, dict[int, float]]:
    """Train with a tracker; return the run, and the validation loss by step that the store has."""
    loaded = config.load([*QUICK, f"tracker={tracker}", "wandb_project=mine", *words])
    ended = execute(loaded, folder, sinks=sinks_for(loaded, progress=False))
    known = {row["step"]: row["val_loss"] for row in rows_of(ended) if row.get("val_loss") is not None}
    assert len(known) > 1
    return ended, known


def test_tensorboard_has_every_number_and_picture(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    ended, known = tracked("tensorboard", tmp_path, "model=dcgan", "batch_size=8", "steps=4", "eval_every=2")
    found = events.EventAccumulator(str(ended.folder / "tensorboard")).Reload()
    values = {event.step: event.value for event in found.Scalars("val_metric")}
    stored = {row["step"]: row["val_metric"] for row in rows_of(ended) if row.get("val_metric") is not None}
    assert values == pytest.approx(stored, rel=1e-6) and len(values) > 1
    assert found.Tags()["images"]
    assert known


@pytest.mark.filterwarnings("ignore")  # MLflow's own, and SQLAlchemy's about it
def test_mlflow_has_every_number_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    ended, known = tracked("mlflow", tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert {one.step: one.value for one in history} == pytest.approx(known)
    assert run.info.status == "FINISHED" and run.data.tags["status"] == "completed"
    assert run.data.params["optimizer.name"] == "adamw" and run.info.run_name == ended.result["run_id"]
    again = tracker_class("mlflow")(ended.folder, "mine")
    again.start(ended.run)
    again.finish(None)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"


def test_trackio_has_every_number_and_prints_nothing(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    reading = (
        "import json, trackio; name = trackio.Api().runs('mine')[0].name\n"
        "rows = trackio.SQLiteStorage.get_logs('mine', name)\n"
        "print(json.dumps([name, {row['step']: row['val_loss'] for row in rows if 'val_loss' in row}]))"
    )
    environment = {"TRACKIO_DIR": str(tmp_path / "trackio"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    environment |= {"PYTHONPATH": str(Path(sinks.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    words = [*QUICK, "tracker=trackio", "wandb_project=mine", "--json", "--results-dir", str(tmp_path / "results")]
    command = [sys.executable, "-m", "optbench", "run", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    script = subprocess.run([sys.executable, "-c", reading], env=environment, capture_output=True, text=True)
    assert script.returncode == 0, script.stderr
    name, values = json.loads(script.stdout.splitlines()[-1])
    records = [json.loads(line) for line in (Path(result["folder"]) / "metrics.jsonl").read_text().splitlines()]
    known = {str(row["step"]): row["val_loss"] for row in records if row.get("val_loss") is not None}
    assert name == result["run_id"] and values == pytest.approx(known) and len(known) > 1


def test_auto_is_wandb_where_there_is_a_key_and_else_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert resolved("auto") == "none" and resolved("mlflow") == "mlflow"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert resolved("auto") == "wandb"
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert resolved("auto") == "wandb"


@pytest.mark.parametrize(
    ("tracker", "message"),
    [
        ("mlfow", "there is no tracker 'mlfow'"),
        ("wandb+nothing", "there is no tracker 'nothing'"),
        ("wandb+none", "several trackers are joined by +"),
        ("wandb+wandb", "several trackers are joined by +"),
    ],
)
def test_a_mistake_is_found_before_training(tracker: str, message: str, call: Call) -> None:
    with pytest.raises(ConfigError, match=message.replace("+", r"\+")):
        config.load([f"tracker={tracker}"])


def test_several_trackers_and_one_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "class Lines:\n"
        "    def __init__(self, directory, project): self.file = directory / 'lines.txt'\n"
        "    def start(self, run): self.lines = [run['run_id']]\n"
        "    def log(self, record): self.lines.append(str(record.step))\n"
        "    def tick(self, step): pass\n"
        "    def finish(self, result): self.file.write_text('\\n'.join(self.lines))\n"
    )
    monkeypatch.chdir(tmp_path)
    ended, _ = tracked("tensorboard+./mine.py:Lines", tmp_path / "results")
    assert (ended.folder / "lines.txt").read_text().startswith(ended.result["run_id"])
    assert list((ended.folder / "tensorboard").iterdir())


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(hasattr(tracker_class(name), "finish") for name in TRACKERS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="the package mlflow is not installed"):
        tracker_class("mlflow")
