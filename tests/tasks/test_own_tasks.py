"""Tasks of one's own train as the packaged one does, bit for bit, and resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUICK, Call, Twice, rows_of

from optbench import config
from optbench.errors import ConfigError
from optbench.sessions.execute import FinishedRun
from optbench.tasks.own_metrics import direction_of

FILE = Path(__file__).with_name("own_tasks.py")
Run = Callable[..., FinishedRun]


@pytest.mark.parametrize("task", ["loss", "Task"])
def test_a_copy_of_the_packaged_task_gives_the_same_weights(task: str, quick_run: Run) -> None:
    packaged = quick_run("steps=12", "model.task.label_smoothing=0.25")
    own = quick_run("steps=12", f"task={FILE}:{task}", "task.smoothing=0.25")
    assert own.result["weights_sha256"] == packaged.result["weights_sha256"]
    assert own.result["final"]["test_metric"] == packaged.result["final"]["test_metric"]
    assert (own.result["metric"], own.result["direction"]) == ("accuracy", "max")
    assert own.run["run_id"] != packaged.run["run_id"]


def test_metrics_and_the_trivial_answer_are_columns(quick_run: Run) -> None:
    ended = quick_run("steps=4", f"task={FILE}:loss", "task.smoothing=0.25")
    (row,) = [row for row in rows_of(ended) if row["split"] == "test"]
    assert row["test_smoothness"] == 0.25
    assert 0 < row["test_trivial"] < 0.2
    assert ended.run["metric_scale"] == "share"


@pytest.mark.parametrize("task", ["plain", "Task"])
def test_without_a_trivial_answer_the_untrained_network_is_one(task: str, quick_run: Run) -> None:
    untrained = quick_run("steps=1", "optimizer.lr=0", "schedule=constant", f"task={FILE}:{task}")
    ended = quick_run("steps=12", f"task={FILE}:{task}")
    values = [row["val_trivial"] for row in rows_of(ended) if row["split"] == "validation"]
    assert set(values) == {untrained.result["final"]["val_metric"]}
    assert ended.result["final"]["val_trivial"] == values[0]


@pytest.mark.parametrize(
    "extra", [("precision=bf16",), ("micro_batch=16",), ("optimizer=sam",), ("optimizer=sophia_h",)]
)
def test_a_function_is_the_loss_of_any_optimizer_and_precision(extra: tuple[str, ...], quick_run: Run) -> None:
    ended = quick_run("steps=40", f"task={FILE}:plain", *extra)
    assert ended.result["status"] == "completed"
    assert (ended.result["metric"], ended.result["direction"]) == ("loss", "min")
    assert ended.result["final"]["val_metric"] < 0.9 * ended.result["final"]["val_trivial"]


def test_micro_batches_of_a_mean_are_weighted_by_their_samples(quick_run: Run) -> None:
    whole, parts = (
        quick_run("steps=4", "batch_size=10", f"micro_batch={m}", f"task={FILE}:plain") for m in ("null", 4)
    )
    assert parts.result["final"]["val_loss"] == pytest.approx(whole.result["final"]["val_loss"], rel=1e-5)


def test_random_losses_are_evaluated_at_the_same_numbers_and_resume(twice: Twice) -> None:
    calm, _ = twice(config.load([*QUICK, f"task={FILE}:noisy", "steps=9", "eval_every=3"]), 4)
    again = [row for row in rows_of(calm) if row["split"] in ("train_clean", "validation")]
    assert all(math.isfinite(row.get("val_loss", 0.0)) for row in again)


def test_nan_is_a_divergence(tmp_path: Path, quick_run: Run) -> None:
    (tmp_path / "own.py").write_text(
        "def loss(model, batch):\n    return model(batch['inputs']).mean() * float('nan')\n"
    )
    ended = quick_run("steps=3", f"task={tmp_path}/own.py:loss")
    assert (ended.result["status"], ended.result["reason"]) == ("diverged", "the training loss is nan at step 3")


def test_targets_cannot_be_sampled_from_a_loss(quick_run: Run) -> None:
    with pytest.raises(ConfigError, match=r"optimizer=sophia_g .*a loss of your own says nothing of a distribution"):
        quick_run("steps=3", f"task={FILE}:plain", "optimizer=sophia_g")


def test_a_yaml_file_works_as_the_path_does(tmp_path: Path, quick_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "task").mkdir(parents=True)
    (tmp_path / "conf" / "task" / "mine.yaml").write_text(
        f"smoothing: 0.25\nabout: {{target: '{FILE}:loss', valid: {{smoothing: '[0, 1)'}}}}\n"
    )
    monkeypatch.setenv("OPTBENCH_CONFIG_DIR", str(tmp_path / "conf"))
    named = quick_run("steps=6", "task=mine")
    typed = quick_run("steps=6", f"task={FILE}:loss", "task.smoothing=0.25")
    assert named.result["weights_sha256"] == typed.result["weights_sha256"]
    assert named.run["run_id"] == typed.run["run_id"]


def test_settings_are_shown_with_their_signature(call: Call) -> None:
    code, out, _ = call("show", "model=mlp", f"task={FILE}:loss", "--json")
    assert code == 0
    assert f"signature of {FILE}:loss" in out
    with pytest.raises(ConfigError, match=r"smoothing=x: expected a number"):
        config.load(["model=mlp", f"task={FILE}:loss", "task.smoothing=x"])


@pytest.mark.parametrize(
    ("name", "given", "direction"),
    [
        ("accuracy", None, "max"),
        ("top5_accuracy", None, "max"),
        ("RMSE", None, "min"),
        ("nats_per_token", None, "min"),
        ("quality", "min", "min"),
        ("error_f1", "max", "max"),
    ],
)
def test_the_direction_is_told_or_known(name: str, given: str | None, direction: str) -> None:
    assert direction_of(name, given, "here") == direction


@pytest.mark.parametrize("name", ["quality", "error_f1"])
def test_the_direction_is_not_guessed(name: str) -> None:
    with pytest.raises(ConfigError, match="which way is better"):
        direction_of(name, None, "here")
