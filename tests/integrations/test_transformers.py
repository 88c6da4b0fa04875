"""A Trainer of Hugging Face transformers on a tiny GPT."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from events_of import Told

from optbench.errors import ConfigError, MissingError

STEPS = 20


def trained(run: Told, **arguments: Any) -> tuple[Any, float]:
    """Train for the run's steps, from its newest checkpoint; return the Trainer and the validation loss at the end."""
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer
    from transformers.utils import logging

    from optbench.integrations.transformers import last_checkpoint, trainer_options

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.manual_seed(0)
    pieces = [{"input_ids": piece, "labels": piece} for piece in torch.randint(0, 64, (64 * 16,)).split(16)]
    shape = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, bos_token_id=0, eos_token_id=0, **shape))
    every = {"eval_strategy": "steps", "eval_steps": 5, "save_steps": 5, "logging_steps": 5, "use_cpu": True}
    trainer = Trainer(
        model,
        **trainer_options(run, model, **{**every, **arguments}),
        train_dataset=pieces[:48],
        eval_dataset=pieces[48:],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(run))
    return trainer, trainer.evaluate()["eval_loss"]


def told(folder: Path, optimizer: str = "adamw", **more: Any) -> Told:
    return Told(folder, **{"steps": STEPS, "batch_size": 8, "record_every": 5, "optimizer": optimizer, **more})


def test_a_trainer_takes_optimizer_budget_and_clip_and_is_recorded(tmp_path: Path) -> None:
    run = told(tmp_path / "run", "lion", clip="value", seed=7)
    trainer, loss = trained(run)
    assert trainer.state.global_step == STEPS and trainer.args.seed == 7 and trainer.args.train_batch_size == 8
    assert type(trainer.optimizer.optimizer).__name__ == "Lion"
    assert {event["name"] for event in run.events("used")} >= {"optimizer", "schedule", "clip", "steps", "seed"}
    assert [step for step, _ in run.curve("train_loss")] == [5, 10, 15, 20]
    assert [step for step, _ in run.curve("val_metric")] == [5, 10, 15, 20, 20]
    assert run.curve("val_metric")[-1] == (20, pytest.approx(loss))
    rates = [rate for _, rate in run.curve("lr")]
    assert rates == sorted(rates, reverse=True) and rates[0] > 10 * rates[-1]  # the schedule's
    seconds = run.events("log")[-1]["seconds"]
    assert seconds["forward"] > 0 and seconds["optimizer"] > 0 and seconds["data"] > 0 and seconds["evaluation"] > 0


def test_samples_are_those_of_all_accumulated_batches(tmp_path: Path) -> None:
    run = told(tmp_path / "run")
    trained(run, gradient_accumulation_steps=2, per_device_train_batch_size=4, max_steps=10)
    assert {(event["step"], event["samples"]) for event in run.events("log")} == {(5, 40), (10, 80)}
    assert not {"batch_size", "steps"} & {event["name"] for event in run.events("used")}


def test_an_optimizer_that_evaluates_the_loss_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="optimizer=sam evaluates the loss in its step, and a Trainer passes no closure"
    ):
        trained(told(tmp_path / "run", "sam"))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon", "schedulefree"])
def test_a_stopped_trainer_goes_on_from_its_checkpoint(tmp_path: Path, optimizer: str) -> None:
    _, undisturbed = trained(told(tmp_path / "whole", optimizer))
    stopped = told(tmp_path / "stopped", optimizer, stop_at=10)
    trainer, _ = trained(stopped)
    assert trainer.state.global_step == 11
    torn = tmp_path / "stopped" / "checkpoint-99"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 9')
    trainer, resumed = trained(told(tmp_path / "stopped", optimizer))
    assert trainer.state.global_step == STEPS and resumed == undisturbed


@pytest.mark.slow
def test_a_loss_that_is_nan_is_recorded(tmp_path: Path) -> None:
    run = told(tmp_path / "run", "sgd", **{"optimizer.lr": 1e30})
    trained(run)
    assert "nan" in {value for _, value in run.curve("train_loss")}


@pytest.mark.parametrize("name", ["transformers", "accelerate"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "optbench.integrations.transformers", raising=False)
    with pytest.raises(MissingError, match=f"needs the package {name}\npip install {name}"):
        import optbench.integrations.transformers  # noqa: F401
