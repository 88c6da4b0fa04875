"""Two players in alternating turns: gradients, random draws, measures, and whole runs."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from conftest import rows_of
from torch import Tensor, nn

from optbench import config
from optbench.contracts import Evaluation
from optbench.records import COLUMNS
from optbench.sessions.assemble import assemble
from optbench.sessions.session import execute
from optbench.tasks.generative.features import remembered
from optbench.tasks.generative.image_generation import ImageGeneration
from optbench.tasks.generative.losses import LOSSES, gradient_penalty
from optbench.tasks.generative.scale import to_uint8
from optbench.tasks.generative.trivial import pixel_statistics
from optbench.training.player import ActivePlayer

MODELS = ("gan", "dcgan", "wgan_gp")
SMALL = ("tracker=none", "threads=1", "device=cpu", "optimizer=adamw", "batch_size=8", "model.width=4", "model.noise=6")


def small(model: str, *overrides: str) -> Any:
    """Build a run's objects in training mode."""
    objects = assemble(config.load([f"model={model}", *SMALL, *overrides]))
    for player in objects.task.players.values():
        player.train()
    return objects


def first_batch(objects: Any) -> Any:
    return next(objects.data.train_batches(8))


def snapshot(task: Any) -> list[Tensor]:
    return [tensor.clone() for player in task.players.values() for tensor in player.state_dict().values()]


def tensors_of(evaluation: Evaluation) -> dict[str, Tensor]:
    """Return the gathered rows of an evaluation with one batch."""
    return {name: part for name, part in evaluation.items() if isinstance(part, Tensor)}


# -- losses -----------------------------------------------------------------------------------------------------------


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    hinge, entropy, distance = (LOSSES[name] for name in ("hinge", "cross_entropy", "wasserstein"))
    assert hinge.discriminator(real, fake).tolist() == [0.0, 1.5]
    assert hinge.generator(fake).tolist() == [3.0, 0.0]
    assert distance.discriminator(real, fake).tolist() == [-5.0, -0.5]
    expected = [
        -math.log(1 / (1 + math.exp(-r))) - math.log(1 - 1 / (1 + math.exp(-f))) for r, f in ((2, -3), (0.5, 0))
    ]
    assert entropy.discriminator(real, fake).tolist() == pytest.approx(expected, rel=1e-6)
    assert entropy.generator(fake).tolist() == pytest.approx([math.log(1 + math.exp(3)), math.log(2)], rel=1e-6)


def test_the_penalty_of_a_linear_critic_is_known_and_trains_it() -> None:
    """Use that the slope of w . x is |w|: B (|w| - 1)^2, with the gradient 2 B (|w| - 1) w / |w|."""
    layer = nn.Linear(4, 1)
    weights = torch.tensor([[3.0, 0.0, 4.0, 0.0]])
    layer.weight.data.copy_(weights)
    real, fake = torch.randn(2, 3, 1, 2, 2)
    penalty = gradient_penalty(nn.Sequential(nn.Flatten(), layer), real, fake, torch.rand(3, 1))
    penalty.backward()
    assert penalty.item() == pytest.approx(3 * 16)
    assert layer.weight.grad is not None
    assert layer.weight.grad.flatten().tolist() == pytest.approx((24 * weights / 5).flatten().tolist())


def test_the_penalty_is_taken_between_the_images() -> None:
    """Use that the slope of x^2 / 2 is x: at a quarter of the way from 1 to 5 it is 2."""
    quadratic = SimpleNamespace(forward=lambda x: x.square().flatten(1).sum(1) / 2)
    ends = (torch.full((1, 1, 1, 1), value) for value in (1.0, 5.0))
    assert gradient_penalty(quadratic, *ends, torch.tensor([[0.25]])).item() == pytest.approx(1)  # type: ignore[arg-type]


# -- turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_critic", "expected"), [(1, [0, 1, 2, 3, 4, 5]), (3, [0, 2, 5]), (5, [0, 4])])
def test_the_generator_moves_after_n_critic_steps(n_critic: int, expected: list[int]) -> None:
    objects = small("gan", f"model.task.n_critic={n_critic}")
    batch, moved = first_batch(objects), []
    for step in range(6):
        players = [turn.player for turn in objects.task.turns(batch, step)]
        assert players[0] == "discriminator"
        moved += [step] if players == ["discriminator", "generator"] else []
    assert moved == expected


@pytest.mark.parametrize("model", MODELS)
def test_only_the_active_player_gets_gradients(model: str) -> None:
    objects = small(model)
    players = objects.task.players
    for turn in objects.task.turns(first_batch(objects), 0):
        for player in players.values():
            player.zero_grad()
        total, count = turn.loss(turn.batch)
        total.backward()
        assert count == 8
        for name, player in players.items():
            mine = name == turn.player
            assert all((p.grad is not None) == mine and p.requires_grad == mine for p in player.parameters())
    assert all(p.requires_grad for player in players.values() for p in player.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_an_abandoned_turn_unfreezes_the_players(model: str) -> None:
    objects = small(model)
    turns = objects.task.turns(first_batch(objects), 0)
    next(turns)
    turns.close()
    modules = [module for player in objects.task.players.values() for module in player.modules()]
    assert all(parameter.requires_grad for module in modules for parameter in module.parameters())
    assert all(m.track_running_stats for m in modules if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("model", MODELS)
def test_a_loss_depends_only_on_weights_and_batch(model: str) -> None:
    """Evaluate a loss twice: it is the same, and only the statistics of the player's own batch norms change."""
    objects = small(model)
    for turn in objects.task.turns(first_batch(objects), 0):
        (other,) = (p for name, p in objects.task.players.items() if name != turn.player)
        before = [tensor.clone() for tensor in other.state_dict().values()]
        first, again = (turn.loss(turn.batch)[0].item() for _ in range(2))
        assert first == again
        assert all(map(torch.equal, before, other.state_dict().values()))


def test_micro_batches_give_the_gradient_of_the_batch() -> None:
    """Test the critic's turn with a generator in evaluation mode, where no batch norm couples samples."""
    gradients = []
    for micro in ("null", "3"):
        objects = small("wgan_gp", f"micro_batch={micro}")
        objects.task.generator.eval()
        player: ActivePlayer = objects.trainer.players["discriminator"]
        loss = player.gradients(next(iter(objects.task.turns(first_batch(objects), 0))))
        gradients.append([float(loss), *(p.grad.clone() for p in player.parameters)])
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    for whole, pieces in zip(gradients[0][1:], gradients[1][1:], strict=True):
        assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_a_dry_step_and_an_evaluation_have_no_side_effects(model: str) -> None:
    objects = small(model, "optimizer=schedulefree", "schedule=constant")  # re-estimates batch statistics
    batch, trainer = first_batch(objects), objects.trainer
    for turn in objects.task.turns(batch, 0):
        trainer.players[turn.player].step(turn, 1.0, False)
    before, random = snapshot(objects.task), torch.get_rng_state()
    trainer.dry_step(batch)
    first, pictures = trainer.evaluator.scores_and_pictures("validation")
    assert all(map(torch.equal, before, snapshot(objects.task)))
    assert torch.equal(random, torch.get_rng_state())
    again, same = trainer.evaluator.scores_and_pictures("validation")
    assert first == again
    assert numpy.array_equal(pictures["generated"], same["generated"])


# -- measures --------------------------------------------------------------------------------------------------------


class ScaledNoise(nn.Module):
    """A generator of a single image (spread 0) or of noise."""

    noise = 64

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = nn.Parameter(torch.tensor(spread))

    def forward(self, z: Tensor) -> Tensor:
        return self.spread * z.view(-1, 1, 8, 8) / 4


class Brightness(nn.Module):
    """A critic that scores the sum of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x.flatten(1).sum(1)


def lone_task(spread: float, loss: str = "hinge") -> tuple[ImageGeneration, Any]:
    data = small("gan").data
    model = nn.ModuleDict({"generator": ScaledNoise(spread), "discriminator": Brightness()})
    settings: dict[str, Any] = {"gradient_penalty": 0.0, "n_critic": 1, "features": "auto", "features_path": None}
    return ImageGeneration(model, data, SimpleNamespace(), loss=loss, **settings), data  # type: ignore[arg-type]


def test_measures_show_collapse_and_saturation() -> None:
    for spread, least, most in ((0.0, 0.0, 0.0), (1.0, 0.2, 2.0)):
        task, data = lone_task(spread)
        turn = next(iter(task.turns(next(data.train_batches(64)), 0)))
        turn.loss(turn.batch)
        measured = task.measures()
        assert measured.keys() <= COLUMNS.keys()
        assert least <= measured["fake_diversity"] <= most
        assert measured["real_score"] == pytest.approx(float(turn.batch["real"].flatten(1).sum(1).mean()), rel=1e-4)
    assert measured["discriminator_accuracy"] < 0.1  # generated images are brighter than digits
    task.discriminator.factor.data.neg_()  # type: ignore[operator]
    turn = next(iter(task.turns(next(data.train_batches(64)), 0)))
    turn.loss(turn.batch)
    assert task.measures()["discriminator_accuracy"] > 0.9


def test_images_reach_the_players_on_the_generators_scale() -> None:
    task, data = lone_task(1.0)
    (batch,) = data.eval_batches("validation", 1000)
    levels = to_uint8(task.scale(batch["inputs"]))
    assert torch.equal(levels, data._splits["validation"].images)
    assert task.scale(batch["inputs"]).min().item() == pytest.approx(-1, abs=1e-5)


def test_the_trivial_answer_has_independent_pixels() -> None:
    """Compare a set with its own independent pixels: far in features, near in means and deviations of pixels."""
    task, data = lone_task(1.0)
    (batch,) = data.eval_batches("train", 2000)
    with torch.no_grad():
        mean, std = pixel_statistics(task.trivial.data, task.trivial.scale)
        scores = task.score({**tensors_of(task.evaluate(batch)), "loss": torch.zeros(())})
    real = task.scale(batch["inputs"])
    assert torch.allclose(mean, real.mean(0), atol=1e-5)
    assert torch.allclose(std, real.std(0, correction=0), atol=1e-5)
    assert scores["trivial"] > 10
    assert scores["metric"] > scores["trivial"]  # pixels without even the mean of digits are worse
    assert {f"val_{name}" for name in scores} <= COLUMNS.keys()


def test_features_of_real_images_are_cached_unchanged() -> None:
    task, data = lone_task(1.0)
    batches, computed = list(data.eval_batches("test", 100)), []
    task.features_of_real = remembered(lambda images: computed.append(1) or task.features(images))
    with torch.no_grad():
        found = [[task.evaluate(batch)["real"] for batch in batches] for _ in range(2)]
        fresh = [task.features(to_uint8(task.scale(batch["inputs"]))) for batch in batches]
    for first, again, expected in zip(*found, fresh, strict=True):
        assert torch.equal(first, expected)
        assert torch.equal(again, expected)
    assert len(computed) == len(batches)


@pytest.mark.parametrize(("loss", "bound"), [("hinge", 1e3), ("wasserstein", 1e6)])
def test_losses_diverge_in_both_directions(loss: str, bound: float) -> None:
    task, _ = lone_task(1.0, loss)
    assert all(task.diverged(sign * 2 * bound) and not task.diverged(sign * bound / 2) for sign in (1, -1))
    assert task.diverged(math.nan)
    assert task.diverged(-math.inf)


def test_a_generator_of_nan_is_scored_without_an_error() -> None:
    task, data = lone_task(math.nan)
    (batch,) = data.eval_batches("validation", 300)
    with torch.no_grad():
        scores = task.score({**tensors_of(task.evaluate(batch)), "loss": torch.tensor(math.nan)})
    assert scores["metric"] == scores["metric"] or math.isnan(scores["metric"])
    assert math.isfinite(scores["trivial"])


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", MODELS)
def test_a_trained_gan_is_much_nearer_than_independent_pixels(model: str, tmp_path: Path) -> None:
    ended = execute(config.load([f"model={model}", "optimizer=adamw", "tracker=none"]), tmp_path)
    final = ended.result["final"]
    assert final["val_metric"] < 0.25 * final["val_trivial"]
    assert final["test_metric"] < 0.25 * final["test_trivial"]
    assert final["val_recall"] > 0.5  # no collapse
    last = [row for row in rows_of(ended) if row["split"] == "train"][-1]
    assert 0.5 < last["fake_diversity"] < 2


def test_a_player_that_diverges_is_named(tmp_path: Path) -> None:
    words = ["model=dcgan", "optimizer=sgd", "optimizer.lr=1e9", "optimizer_d.lr=1e9", "steps=20", "tracker=none"]
    ended = execute(config.load([*words, "threads=1"]), tmp_path)
    assert ended.result["status"] == "diverged"
    assert ended.result["reason"].startswith(("discriminator: the training loss", "generator: the training loss"))
