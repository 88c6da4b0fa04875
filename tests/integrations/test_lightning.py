"""A Trainer of Lightning on a tiny network, with both names of the package."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from events_of import Told
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from optbench.errors import ConfigError, MissingError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
SAME = ["lightning.pytorch", "pytorch_lightning"]


def trained(run: Told, package: str = SAME[0], *, manual: bool = False, **options: Any) -> tuple[Any, dict[str, float]]:
    """Train for 20 steps; return the Trainer, and the metrics of a validation at the end."""
    pl: Any = importlib.import_module(package)
    logging.getLogger(package).setLevel(logging.ERROR)
    from optbench.integrations.lightning import OptbenchCallback, optimizers

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = not manual
            self.layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))

        def training_step(self, batch: Any, index: int) -> Any:
            loss = cross_entropy(self.layers(batch[0]), batch[1])
            if manual:
                self.optimizers().zero_grad()
                self.manual_backward(loss)
                self.optimizers().step()
                self.lr_schedulers().step()
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            output = self.layers(batch[0])
            self.log("val_loss", cross_entropy(output, batch[1]))
            self.log("val_accuracy", (output.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return optimizers(run, self)

    torch.manual_seed(0)
    inputs = torch.randn(300, 8)
    data = TensorDataset(inputs, (inputs[:, 0] > 0).long())
    train, validation = DataLoader(data, batch_size=30), DataLoader(data, batch_size=300)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    callback = OptbenchCallback(run, metric="val_accuracy")
    trainer = pl.Trainer(
        max_steps=20, callbacks=[callback], enable_model_summary=False, accelerator="cpu", **{**quiet, **options}
    )
    net = Net()
    trainer.fit(net, train, validation)
    return trainer, trainer.validate(net, validation, verbose=False)[0]


def told(folder: Path, optimizer: str = "adamw", **more: Any) -> Told:
    return Told(folder, **{"steps": 20, "record_every": 5, "optimizer": optimizer, "optimizer.lr": 0.03, **more})


@pytest.mark.parametrize("manual", [False, True], ids=["automatic", "manual"])
def test_a_trainer_takes_optimizer_and_clip_and_is_recorded(tmp_path: Path, manual: bool) -> None:
    run = told(tmp_path, "lion", clip="value")
    trainer, metrics = trained(run, manual=manual)
    assert trainer.global_step == 20 and type(trainer.optimizers[0]).__name__ == "Lion"
    assert {event["name"] for event in run.events("used")} >= {"optimizer", "schedule", "clip"}
    assert [step for step, _ in run.curve("train_loss")] == [1, 5, 10, 15, 20]
    assert [step for step, _ in run.curve("val_metric")] == [10, 20, 20]
    assert run.curve("val_metric")[-1][1] == pytest.approx(metrics["val_accuracy"])
    rates = [rate for _, rate in run.curve("lr")]
    assert rates[-1] < 0.1 * max(rates)  # the schedule's
    seconds = run.events("log")[-1]["seconds"]
    assert all(seconds[phase] > 0 for phase in ("data", "forward", "backward", "optimizer", "evaluation"))


def test_the_loss_of_accumulated_batches_is_whole(tmp_path: Path) -> None:
    first = told(tmp_path / "a", record_every=1)
    trained(first)
    accumulated = told(tmp_path / "b", record_every=1)
    trainer, _ = trained(accumulated, accumulate_grad_batches=2)
    assert trainer.global_step == 20 and accumulated.curve("train_loss")[0][0] == 1
    assert accumulated.curve("train_loss")[0][1] == pytest.approx(first.curve("train_loss")[0][1], rel=0.5)
    assert accumulated.curve("train_loss")[0][1] > 0.5  # of ln 2, not its half


def test_training_stops_where_the_run_is_to_stop(tmp_path: Path) -> None:
    trainer, _ = trained(told(tmp_path, stop_at=7))
    assert trainer.global_step == 7


def test_weights_lent_for_a_validation_come_back(tmp_path: Path) -> None:
    often, once = (told(tmp_path / name, "schedulefree") for name in "ab")
    trainer, metrics = trained(often, val_check_interval=2)
    other, expected = trained(once)
    assert metrics == expected
    pairs = zip(trainer.lightning_module.parameters(), other.lightning_module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_optimizer_that_calls_the_loss_itself(tmp_path: Path) -> None:
    run = told(tmp_path / "a", "sam")
    trained(run)
    assert [step for step, _ in run.curve("train_loss")][-1] == 20
    with pytest.raises(ConfigError, match="automatic optimization"):
        trained(told(tmp_path / "b", "sam"), manual=True)


@pytest.mark.slow
@pytest.mark.parametrize("package", SAME)
def test_both_packages_serve(package: str) -> None:
    code = f"import {package}\nfrom optbench.integrations import lightning as ours\nprint(ours.Callback.__module__)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(package)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from optbench.integrations import lightning

    for name in SAME:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingError, match="pip install lightning"):
        lightning.package()
