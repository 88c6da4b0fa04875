"""Properties of every model on its embedded data. A new model gets these tests automatically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Twice, rows_of

from optbench import config
from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import batch_norms
from optbench.sessions import assemble
from optbench.sessions.session import execute
from optbench.training.seeding import seeds_of

CONF = config.packaged_folder()
MODELS = config.options([CONF], "model")
OPTIMIZERS = config.options([CONF], "optimizer")
SMALL = ("batch_size=8", "threads=1", "tracker=none", "eval_batch_size=64", "eval_train_samples=64", "record_every=3")
SMALLER = dict.fromkeys(("resnet", "resnet9", "unet"), ("model.width=8",))  # where the default takes seconds per step
LONG = ["unet", *(model for model in MODELS if config.load([f"model={model}"]).model.about["reads"] == "text")]


def runs_by_default(optimizer: str, model: str) -> bool:
    """Muon needs roles, with AdamW for the rest; SAM needs closures. On long models, one of them with one model."""
    return optimizer in ("muon", "sam") if model not in LONG else (optimizer, model) == ("muon", "gpt")


def settings(model: str, *overrides: str) -> config.RunConfig:
    return config.load([f"model={model}", *SMALL, *SMALLER.get(model, ()), *overrides])


# -- the matrix --------------------------------------------------------------------------------------------------------


def cells() -> list[Any]:
    """Return every optimizer on every model; most pairs are marked slow."""
    return [
        pytest.param(optimizer, model, marks=[] if runs_by_default(optimizer, model) else pytest.mark.slow)
        for model in MODELS
        for optimizer in OPTIMIZERS
    ]


@pytest.mark.parametrize(("optimizer", "model"), cells())
def test_twenty_steps_or_a_declared_reason(optimizer: str, model: str, tmp_path: Path) -> None:
    loaded = settings(model, f"optimizer={optimizer}", "steps=20")
    lacks = loaded.model.about.get("lacks", {})
    missing = [need for need in loaded.optimizer.about["needs"] if need in lacks]
    if missing:
        with pytest.raises(ConfigError) as caught:
            execute(loaded, tmp_path)
        assert lacks[missing[0]] in str(caught.value)
        return
    result = execute(loaded, tmp_path).result
    assert result["status"] in ("completed", "diverged"), result["reason"]
    assert result["status"] == "completed" or "loss" in result["reason"]
    assert result["steps"] == 20 or result["status"] == "diverged"


# -- interruption ------------------------------------------------------------------------------------------------------

CASES = [(model, ()) for model in MODELS]
CASES += [(model, ("micro_batch=3",)) for model in ("bert", "gan")]
CASES += [pytest.param(model, ("micro_batch=3",), marks=pytest.mark.slow) for model in ("t5", "wgan_gp")]
CASES += [("bert", ("optimizer=adafactor", "ema=true", "clip=global_norm")), ("gan", ("optimizer_d=lion",))]


@pytest.mark.parametrize(
    ("model", "overrides"), CASES, ids=lambda value: value if isinstance(value, str) else "+".join(value)
)
def test_an_interrupted_run_resumes_bit_for_bit(model: str, overrides: tuple[str, ...], twice: Twice) -> None:
    ends = twice(settings(model, "steps=11", "eval_every=4", *overrides), 2, 7)
    pictures = [{file.name: file.read_bytes() for file in (end.folder / "pictures").glob("*")} for end in ends]
    assert pictures[0] == pictures[1]


# -- accumulation ------------------------------------------------------------------------------------------------------


def gradients(loaded: config.RunConfig, micro_batch: int | None) -> dict[str, tuple[torch.Tensor, list[torch.Tensor]]]:
    """Return loss and gradients of each player on the first batch, in parts of `micro_batch`."""
    device, seeds = torch.device("cpu"), seeds_of(loaded.seed)
    assemble.prepare(loaded, device, seeds)
    data = assemble.load_data(loaded, device, seeds)
    assemble.prepare(loaded, device, seeds)
    trainer = assemble.build_trainer(loaded, data, device, seeds, micro_batch)
    for module in trainer.modules:
        module.train()
    found = {}
    for turn in trainer.task.turns(next(data.train_batches(loaded.batch_size)), 0):
        player = trainer.players[turn.player]
        loss = player.gradients(turn)
        found[turn.player] = loss, [p.grad.clone() for p in player.parameters if p.grad is not None]
    return found


@pytest.mark.parametrize("model", MODELS)
def test_micro_batches_give_the_gradient_of_the_batch(model: str) -> None:
    loaded = settings(model, "batch_size=14")
    loaded_task = assemble.build_task(loaded, data_of(loaded), seeds_of(0), torch.device("cpu"))
    if any(batch_norms(module) for module in loaded_task.players.values()):
        pytest.skip("batch norm makes a sample's loss depend on the others in its micro-batch")
    whole, pieces = gradients(loaded, None), gradients(loaded, 4)  # 4 + 4 + 4 + 2
    for player, (loss, expected) in whole.items():
        torch.testing.assert_close(pieces[player][0], loss, rtol=1e-5, atol=1e-6)
        scale = max(float(gradient.abs().max()) for gradient in expected)
        for gradient, reference in zip(pieces[player][1], expected, strict=True):
            torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=2e-6 * max(scale, 1e-3))


def data_of(loaded: config.RunConfig) -> Any:
    return assemble.load_data(loaded, torch.device("cpu"), seeds_of(0))


# -- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_model_trains_on_its_embedded_data_and_records_known_columns(model: str, tmp_path: Path) -> None:
    from optbench.records import COLUMNS

    loaded = settings(model, "steps=4", "eval_every=2", "record_every=2")
    assert loaded.data.about["embedded"]
    ended = execute(loaded, tmp_path)
    assert ended.result["status"] == "completed"
    assert set(ended.result["final"].values()) - {None}
    if loaded.model.about["reads"] != "function":  # some functions have no matrix product
        assert (ended.result["throughput"]["flops_per_step"] or 0) > 0
    players = [f"{player}_" for player in players_of(model)] if len(players_of(model)) > 1 else [""]
    for row in rows_of(ended):
        for name in row:
            short = next((name.removeprefix(p) for p in players if p and name.startswith(p)), name)
            assert name in COLUMNS or short in COLUMNS, name
    for split in ("val", "test", "train"):
        assert ended.result["final"][f"{split}_trivial"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_model_trains_with_its_default_evaluation(model: str, tmp_path: Path) -> None:
    ended = execute(config.load([f"model={model}", "steps=3", "batch_size=8", "tracker=none"]), tmp_path)
    assert ended.result["status"] == "completed"
    assert set(ended.result["final"].values()) - {None}


def players_of(model: str) -> list[str]:
    loaded = settings(model)
    return list(assemble.build_task(loaded, data_of(loaded), seeds_of(0), torch.device("cpu")).players)
