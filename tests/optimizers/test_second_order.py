"""K-FAC beyond the NumPy rule of its paper, and runs of the other second-order optimizers."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench import config
from optbench.contracts import Turn
from optbench.models.roles import problem_of
from optbench.optimizers.kfac import KFAC, layers_of, record_statistics
from optbench.sessions.session import execute
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature

KFAC_SETTINGS = {"lr": 0.1, "damping": 1e-3, "ema": 0.9, "momentum": 0.0, "weight_decay": 0.0, "interval": 1}


class KfacTraining:
    """A network, K-FAC for it, and the steps of a run; the sampled targets are given by the batch's noise."""

    def __init__(
        self, model: nn.Module, micro_batch: int | None = None, precision: Any = None, **settings: Any
    ) -> None:
        self.model, self.autocast = model, precision or contextlib.nullcontext()
        self.curvature = BatchCurvature(model, Clock(), self.autocast, micro_batch)
        self.problem = problem_of(model, self.curvature)
        parameters = [p.tensor for p in self.problem.parameters]
        self.kfac = KFAC(parameters, problem=self.problem, **{**KFAC_SETTINGS, **settings})

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """Return half the squared error: minus the log-likelihood of a Gaussian of variance 1."""
        with self.autocast:
            error = self.model(batch["inputs"]).flatten(1) - batch["targets"].flatten(1)
        return error.square().sum() / 2, len(error)

    def sampled_loss(self, batch: Any) -> tuple[Tensor, int]:
        """Return the loss at targets with each sample's own noise, so that the order of sampling does not matter."""
        outputs = self.model(batch["inputs"]).flatten(1)
        error = outputs - outputs.detach() + batch["noise"].flatten(1)
        return error.square().sum() / 2, len(error)

    def step(self, batch: Any) -> float:
        self.curvature.turn = Turn("model", batch, self.loss, self.sampled_loss)
        self.kfac.zero_grad()
        total, count = self.loss(batch)
        (total / count).backward()
        self.kfac.step()
        return total.item() / count

    def factors(self, name: str) -> list[Tensor]:
        return [self.kfac.state[weight][name] for weight in self.kfac.layers]


def batch_for(model: nn.Module, *shape: int, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(*shape, generator=random, dtype=torch.float64)
    with torch.no_grad():
        outputs = model(inputs)
    targets, noise = (torch.randn(outputs.shape, generator=random, dtype=torch.float64) for _ in range(2))
    return {"inputs": inputs, "targets": targets, "noise": noise}


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), nn.ReLU(), nn.Conv2d(3, 4, 1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 3 * 4, 3)).double()


def positional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2)).double()


@pytest.mark.parametrize(("model", "shape"), [(convolutional, (6, 2, 5, 6)), (positional, (6, 5, 3))])
def test_factors_and_weights_do_not_depend_on_micro_batches(model: Any, shape: tuple[int, ...]) -> None:
    whole, parts = KfacTraining(model()), KfacTraining(model(), micro_batch=4)  # a piece of 4 and one of 2
    for seed in range(3):
        batch = batch_for(whole.model, *shape, seed=seed)
        whole.step(batch)
        parts.step(batch)
    assert len(whole.kfac.layers) > 1
    for name in ("a", "s", "a_inverse", "s_inverse"):
        for one, other in zip(whole.factors(name), parts.factors(name), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_factors_of_a_convolution_are_those_of_its_patches() -> None:
    torch.manual_seed(1)
    model = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)).double()
    training = KfacTraining(model)
    batch = batch_for(model, 4, 2, 5, 6)
    training.step(batch)
    # patch by patch: the padded image under the kernel that stands at each place of the output
    image = functional.pad(batch["inputs"], (0, 0, 1, 1))
    a, s, places = torch.zeros(13, 13).double(), torch.zeros(3, 3).double(), 0
    for n in range(4):
        for i in range(batch["noise"].shape[2]):
            for j in range(batch["noise"].shape[3]):
                patch = image[n][:, 2 * i : 2 * i + 3, [j, j + 2]].reshape(-1)
                row = torch.cat([patch, torch.ones(1).double()])
                g = batch["noise"][n, :, i, j]  # of the sample's own loss, half the squared noise
                a, s, places = a + row.outer(row), s + g.outer(g), places + 1
    torch.testing.assert_close(training.factors("a")[0], a / places)
    torch.testing.assert_close(training.factors("s")[0], s / 4)


def test_a_position_counts_as_one_sample() -> None:
    """A layer over 5 tokens per sample steps as over 5 times the samples with a fifth of mean loss and curvature."""
    torch.manual_seed(0)
    tokens, rows = KfacTraining(nn.Linear(3, 2).double()), KfacTraining(nn.Linear(3, 2).double(), damping=1e-3 / 5)
    rows.model.load_state_dict(tokens.model.state_dict())
    batch = batch_for(tokens.model, 6, 5, 3)
    before = tokens.model.weight.detach().clone()
    tokens.step(batch)
    rows.step({name: values.flatten(0, 1) for name, values in batch.items()})
    assert not torch.equal(before, tokens.model.weight)
    torch.testing.assert_close(tokens.model.weight, rows.model.weight)
    torch.testing.assert_close(tokens.model.bias, rows.model.bias)


def test_it_solves_least_squares_much_faster_than_gradient_descent() -> None:
    """With Gaussian targets the Fisher matrix is the Hessian, so inputs of condition number 1e6 are easy."""
    torch.manual_seed(0)
    scales = torch.logspace(0, -3, 8, dtype=torch.float64)
    inputs = torch.randn(256, 8, dtype=torch.float64) * scales
    targets = inputs @ torch.randn(8, 3, dtype=torch.float64) / scales.mean() + 1

    def final(steps: int, step: Any) -> float:
        for _ in range(steps):
            noise = torch.randn(256, 3, dtype=torch.float64)
            loss = step({"inputs": inputs, "targets": targets, "noise": noise})
        return loss

    solver = KfacTraining(nn.Linear(8, 3).double(), lr=0.5, damping=1e-16)
    descent = KfacTraining(nn.Linear(8, 3).double())
    sgd = torch.optim.SGD(descent.model.parameters(), lr=0.5)

    def by_sgd(batch: Any) -> float:
        sgd.zero_grad()
        total, count = descent.loss(batch)
        (total / count).backward()
        sgd.step()
        return total.item() / count

    assert final(60, solver.step) < 1e-15
    assert final(600, by_sgd) > 1e-2


def test_hooks_are_removed_after_a_step() -> None:
    training = KfacTraining(convolutional())
    batch = batch_for(training.model, 6, 2, 5, 6)
    training.step(batch)
    factors = [factor.clone() for factor in training.factors("a") + training.factors("s")]
    assert not any(module._forward_hooks or module._backward_hooks for module in training.model.modules())
    with torch.no_grad():
        training.model(batch["inputs"] + 1)
    training.loss({**batch, "inputs": batch["inputs"] + 1})[0].backward()
    copied = copy.deepcopy(training.model)
    assert torch.equal(copied(batch["inputs"]), training.model(batch["inputs"]))
    assert all(map(torch.equal, factors, training.factors("a") + training.factors("s")))


def test_passes_without_gradients_are_not_recorded() -> None:
    model = nn.Linear(3, 2)
    with record_statistics(layers_of(problem_of(model))) as recorded:
        with torch.no_grad():
            model(torch.ones(4, 3))
        assert recorded[0].rows == 0
        model(torch.ones(4, 3)).sum().backward()
    assert recorded[0].rows == 4
    torch.testing.assert_close(recorded[0].s, torch.full((2, 2), 4.0))


def test_unsupported_layers_follow_momentum() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    tied = nn.Linear(3, 3)
    same = nn.Linear(3, 3)
    same.weight = tied.weight
    frozen = nn.Linear(3, 3)
    frozen.weight.requires_grad_(False)
    odd = [nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3, padding="same"), nn.Conv1d(2, 2, 1), nn.LayerNorm(3)]
    model = nn.ModuleList([Doubled(3, 3), tied, same, frozen, nn.Linear(3, 9000), *odd])
    assert list(layers_of(problem_of(model))) == []
    training = KfacTraining(nn.Sequential(Doubled(3, 2)).double(), momentum=0.9)
    weight = training.model[0].weight
    sgd = torch.optim.SGD([copied := weight.detach().clone().requires_grad_()], lr=0.1, momentum=0.9)
    for seed in range(3):
        training.step(batch_for(training.model, 6, 3, seed=seed))
        copied.grad = weight.grad.clone()
        sgd.step()
    torch.testing.assert_close(weight, copied)


def test_non_finite_curvature_makes_the_weights_non_finite() -> None:
    training = KfacTraining(positional())
    batch = batch_for(training.model, 6, 5, 3)
    training.step(batch)
    training.step({**batch, "noise": batch["noise"] * torch.nan})
    assert all(weight.isnan().all() for weight in training.kfac.layers)


def test_a_layer_behind_a_head_of_zeros_waits_for_its_curvature() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    nn.init.zeros_(model[2].weight)
    training = KfacTraining(model, weight_decay=0.1)
    counts = []
    for seed in range(3):
        training.step(batch_for(model, 8, 3, seed=seed))
        counts.append(training.factors("heard"))
    assert counts == [[0, 1], [1, 2], [2, 3]]
    assert all(p.isfinite().all() for p in model.parameters())


def test_factors_are_exact_under_autocast() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    training = KfacTraining(model, precision=torch.autocast("cpu", torch.bfloat16))
    inputs = torch.randn(8, 3)
    training.step({"inputs": inputs, "targets": torch.randn(8, 2), "noise": torch.randn(8, 2)})
    rows = functional.pad(inputs, (0, 1), value=1.0)  # the layer's own inputs are those in float32
    torch.testing.assert_close(training.factors("a")[0], rows.mT @ rows / 8)


def test_compiled_models_are_recorded_too() -> None:
    torch.manual_seed(0)
    plain = KfacTraining(positional())
    other = KfacTraining(positional())
    other.model.compile(backend="eager")
    for seed in range(2):
        batch = batch_for(plain.model, 6, 5, 3, seed=seed)
        plain.step(batch)
        other.step(batch)
    for one, two in zip(plain.factors("s"), other.factors("s"), strict=True):
        torch.testing.assert_close(one, two)


def test_kfac_resumes_bit_for_bit(tmp_path: Path) -> None:
    settings = {"interval": 3, "momentum": 0.9, "weight_decay": 0.01, "lr": 0.01}
    straight, resumed = KfacTraining(convolutional(), **settings), KfacTraining(convolutional(), **settings)
    batches = [batch_for(straight.model, 6, 2, 5, 6, seed=seed) for seed in range(10)]
    for batch in batches[:5]:  # stale inverses are carried over
        straight.step(batch)
    torch.save([straight.model.state_dict(), straight.kfac.state_dict()], tmp_path / "checkpoint")
    model, optimizer = torch.load(tmp_path / "checkpoint", weights_only=True)
    resumed.model.load_state_dict(model)
    resumed.kfac.load_state_dict(optimizer)
    for batch in batches[5:]:
        assert straight.step(batch) == resumed.step(batch)
    assert all(map(torch.equal, straight.model.parameters(), resumed.model.parameters()))


@pytest.mark.parametrize("optimizer", ["kfac", "psgd_kron", "sam", "lbfgs"])
def test_a_run_in_micro_batches_completes(optimizer: str, tmp_path: Path) -> None:
    settings = ["model=mlp", "steps=2", "batch_size=12", "micro_batch=5", "tracker=none"]
    ended = execute(config.load([f"optimizer={optimizer}", *settings]), tmp_path)
    assert ended.result["status"] == "completed"
