"""A step whose fp16 gradients overflow changes nothing, for every optimizer that fp16 allows and around any of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK
from every_optimizer import parameters
from torch import Tensor

from optbench import config
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.optimizers.core.loss_scaling import PROMISE
from optbench.sessions.assemble import assemble
from optbench.training.loop import Trainer

HUGE, SMALL = 2.0**40, 2.0**4  # loss scales: with the first one every gradient in fp16 is infinite
MODIFIERS = {"ema": ["ema=true"], "lookahead": ["lookahead.k=2"], "cautious": ["cautious=true"]}
MODIFIERS |= {"cautious_decay": ["cautious_decay=true"]}
MODIFIERS |= {"both": ["cautious=true", "lookahead.k=2"]}
OWN = Path(__file__).parent / "own_zoo.py"


def fp16_trainer(loaded: RunConfig) -> Trainer:
    """Return the trainer of a run with fp16 and loss scaling, which a CPU can simulate."""
    trainer = assemble(loaded).trainer
    player = trainer.players["model"]
    player.autocast = torch.autocast("cpu", torch.float16)
    trainer.factor = lambda step: 1.0
    return trainer


def states(trainer: Trainer) -> tuple[Any, list[Tensor]]:
    """Return copies of the optimizer's state and of the weights."""
    player = trainer.players["model"]
    return copy.deepcopy(player.optimizer.state_dict()), [p.detach().clone() for p in player.parameters]


def plain(tree: Any) -> Any:
    """Return a state with lists in place of tensors."""
    if isinstance(tree, Tensor):
        return tree.tolist()
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(one) for one in tree] if isinstance(tree, (list, tuple)) else tree


def step(trainer: Trainer, batch: Any, scale: float) -> tuple[Any, list[Tensor]]:
    """Take a step at a loss scale, which overflows if it is HUGE; return the states after it."""
    player = trainer.players["model"]
    player.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    player.skipped_steps = 0
    trainer.take_turns(batch, False)
    trainer.progress.step += 1
    assert player.skipped_steps == (scale == HUGE)
    assert all(p.isfinite().all() for p in player.parameters)
    return states(trainer)


def check_overflow(loaded: RunConfig) -> None:
    """Take a step, one that overflows, and others: only the second one must change nothing."""
    trainer = fp16_trainer(loaded)
    batch = next(trainer.data.train_batches(16, 0))
    before, overflowed = (step(trainer, batch, scale) for scale in (SMALL, HUGE))
    assert all(map(torch.equal, before[1], overflowed[1]))
    assert plain(before[0]) == plain(overflowed[0])
    for _ in range(10):  # RAdam without momentum takes no step before the sixth
        _, weights = step(trainer, batch, SMALL)
        if not all(map(torch.equal, before[1], weights)):
            return
    raise AssertionError("no step has changed a weight")


@pytest.mark.parametrize("loaded", parameters("closure", "curvature"))
def test_an_overflow_changes_nothing(loaded: RunConfig) -> None:
    check_overflow(loaded)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum"])
@pytest.mark.parametrize("modifier", MODIFIERS)
def test_nor_around_a_fused_optimizer(modifier: str, optimizer: str) -> None:
    loaded = config.load([*QUICK, f"optimizer={optimizer}", "optimizer.impl=torch", *MODIFIERS[modifier]])
    if modifier == "cautious_decay" and loaded.optimizer.about.get("decay") != "decoupled":
        with pytest.raises(ConfigError, match="needs an optimizer with decoupled weight decay"):
            check_overflow(loaded)
    else:
        check_overflow(loaded)


def test_nor_in_an_optimizer_of_matrices_alone() -> None:
    check_overflow(config.load([*QUICK, f"optimizer={OWN}:FusedMatrices"]))


@pytest.mark.parametrize("name", ["PassesOn", "HoldsAnother"])
def test_nor_around_a_fused_optimizer_in_a_users_class(name: str) -> None:
    check_overflow(config.load([*QUICK, f"optimizer={OWN}:{name}"]))


def test_a_fused_optimizer_still_skips_by_itself() -> None:
    optimizer = assemble(config.load([*QUICK, "optimizer=adamw"])).trainer.players["model"].optimizer
    assert getattr(optimizer, PROMISE) is True


def test_optimizers_that_evaluate_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="loss scaling"):
        assemble(config.load([*QUICK, "optimizer=sam", "precision=fp16"]))
