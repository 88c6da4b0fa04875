"""Curvature of the batch, and the needs that a run refuses."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import QUICK
from torch import nn

from optbench import config
from optbench.contracts import Seeds, Turn
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.tasks.image_classification import ImageClassification
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()


def curvature_of(model: nn.Module, samples: int = 10, micro_batch: int | None = None) -> BatchCurvature:
    task = ImageClassification(model, SimpleNamespace(classes=3), Seeds(0, 0, 0), label_smoothing=0.0)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(samples, 1, 2, 2, generator=generator, dtype=torch.float64)
    batch = {"inputs": inputs, "labels": torch.randint(3, (samples,), generator=generator)}
    curvature = BatchCurvature(model, Clock(), contextlib.nullcontext(), micro_batch)
    (curvature.turn,) = task.turns(batch, 0)
    return curvature


@pytest.mark.parametrize("micro_batch", [None, 4])
def test_hessian_products_are_those_of_the_mean_loss(micro_batch: int | None) -> None:
    model = network()
    curvature = curvature_of(model, micro_batch=micro_batch)
    weight, turn = model[1].weight, curvature.turn

    def mean_loss(values: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(model, {"1.weight": values}, (turn.batch["inputs"],))
        return nn.functional.cross_entropy(logits, turn.batch["labels"])

    hessian = torch.autograd.functional.hessian(mean_loss, weight.detach()).reshape(12, 12)
    vector = torch.randn(3, 4, dtype=torch.float64)
    (product,) = curvature.hessian_products([weight], [vector])
    torch.testing.assert_close(product.reshape(-1), hessian @ vector.reshape(-1))
    assert curvature.evaluations == 2


def test_unused_tensors_get_zeros() -> None:
    curvature = curvature_of(network())
    stray = torch.ones(2, dtype=torch.float64, requires_grad=True)
    (product,) = curvature.hessian_products([stray], [torch.ones_like(stray)])
    assert torch.equal(product, torch.zeros_like(stray))


def test_sampled_gradients_estimate_the_gauss_newton_diagonal() -> None:
    """The mean of count * g^2 is the diagonal of the Gauss-Newton matrix of the mean loss (Liu et al. 2023, section
    2.3), here from the Jacobian: sum over samples of J^T (diag(p) - p p^T) J / n."""
    torch.manual_seed(2)
    model = network()
    curvature = curvature_of(model, samples=6)
    bias = model[3].bias
    draws = []
    for _ in range(1000):
        (gradient,), count = curvature.sampled_gradients([bias])
        assert count == 6
        draws.append(count * gradient.square())
    probabilities = model(curvature.turn.batch["inputs"]).softmax(1).detach()
    exact = (probabilities - probabilities.square()).mean(0)  # the Jacobian of the logits in the bias is the identity
    torch.testing.assert_close(torch.stack(draws).mean(0), exact, rtol=0.15, atol=0.0)
    assert curvature.evaluations == 1000


def test_micro_batches_sum_to_the_same_count() -> None:
    curvature = curvature_of(network(), samples=10, micro_batch=3)
    _, count = curvature.sampled_gradients([curvature.module[3].bias])
    assert count == 10


def test_sampling_works_on_a_diverged_model() -> None:
    model = network()
    with torch.no_grad():
        model[3].bias.fill_(float("nan"))
    (gradient,), _ = curvature_of(model).sampled_gradients([model[3].bias])
    assert gradient.isnan().any()


def test_curvature_needs_a_step_and_a_distribution() -> None:
    curvature = curvature_of(network())
    turn = curvature.turn
    curvature.turn = Turn(turn.player, turn.batch, turn.loss)
    with pytest.raises(ConfigError, match="no distribution"):
        curvature.sampled_gradients([])
    curvature.turn = None
    with pytest.raises(ConfigError, match="inside a training step"):
        curvature.sampled_gradients([])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer=sophia_g", "precision=fp16"], "loss scaling"),
        (["optimizer=sam", "precision=fp16"], "loss scaling"),
        (["optimizer=sophia_h", "compile=true"], "differentiates twice"),
        (["optimizer=schedulefree", "schedule=cosine"], "schedule of its own"),
    ],
)
def test_needs_that_a_run_cannot_provide_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        execute(config.load([*QUICK, "steps=2", *overrides]), tmp_path)


def test_curvature_counts_as_gradient_evaluations(tmp_path: Path) -> None:
    steps = 20
    expected = {"adamw": steps, "sophia_g": steps + 2, "sophia_h": steps + 4, "adahessian": 3 * steps, "sam": 2 * steps}
    for name, count in expected.items():
        ended = execute(config.load([*QUICK, f"optimizer={name}", f"steps={steps}"]), tmp_path)
        assert ended.result["gradient_evaluations"] == count, name


def test_an_optimizer_prefers_its_schedule_unless_one_is_named() -> None:
    assert config.load(["optimizer=schedulefree"]).schedule.name == "constant"
    assert config.load(["optimizer=adamw"]).schedule.name == "cosine"
    assert config.load(["optimizer=schedulefree", "schedule=wsd"]).schedule.name == "wsd"
