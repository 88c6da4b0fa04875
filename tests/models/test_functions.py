"""Functions with known minima: values, gradients, minima and noise, compared with values worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from optbench import config
from optbench.config import imports
from optbench.models.functions.base import Function
from optbench.models.functions.logreg import minimizer, objective
from optbench.models.functions.noisy_sparse import student_t
from optbench.models.functions.quadratic import log_spaced, random_rotation
from optbench.models.roles import problem_of

NAMES = ("rosenbrock", "quadratic", "noisy_sparse", "reddi", "deep_linear", "logreg")
SEED = 5
MANY = torch.arange(50 * 202)  # a whole number of Reddi's periods, in each fiftieth too


def function(name: str, *overrides: str) -> Function:
    """Build a function from its YAML file with torch's seed 0."""
    torch.manual_seed(0)
    choice = config.load([f"model={name}", *overrides]).model
    settings = {key: value for key, value in choice.settings.items() if key != "task"}
    return imports.load(choice.target)(SimpleNamespace(), **settings)


def batch_of(f: Function, index: Tensor) -> dict[str, Tensor]:
    return {"index": index, **f.drawn(SEED, index)}


def moved(f: Function, size: float = 0.3) -> Function:
    """Move the function away from its start, so that no term is zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in f.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return f


def gradients(f: Function, value: Tensor) -> Tensor:
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, list(f.parameters()))])


@pytest.mark.parametrize("name", NAMES)
class TestFunction:
    """Properties of every function."""

    def test_sample_gradients_average_to_the_exact_gradient(self, name: str) -> None:
        f = moved(function(name, *(["model.noise=0.5"] if name == "quadratic" else [])))
        parts = [gradients(f, f(batch_of(f, part))) / len(part) for part in MANY.split(len(MANY) // 50)]
        means = torch.stack(parts)
        deviation = means.std(0) / math.sqrt(len(means))
        exact = gradients(f, f.value())
        # 6 standard errors, estimated from 50 parts; heavy tails need more
        assert ((means.mean(0) - exact).abs() <= 6 * deviation + 1e-9 * exact.abs().max()).all()

    def test_a_batch_is_the_sum_of_its_parts(self, name: str) -> None:
        f = moved(function(name))
        whole = f(batch_of(f, torch.arange(7)))
        parts = sum(f(batch_of(f, part)).item() for part in torch.arange(7).split(3))
        assert whole.item() == pytest.approx(parts, rel=1e-12)

    def test_the_gradient_matches_finite_differences(self, name: str) -> None:
        f = moved(function(name))
        batch = batch_of(f, torch.arange(4))
        exact, parameter = gradients(f, f(batch)), next(iter(f.parameters()))
        with torch.no_grad():
            step, values = 1e-6, []
            for sign in (1, -2):
                parameter.view(-1)[0] += sign * step
                values.append(f(batch).item())
        assert exact[0].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-6)

    def test_parameters_are_float64_and_only_matrices_are_decayed(self, name: str) -> None:
        parameters = problem_of(function(name)).parameters
        assert all(p.tensor.dtype == torch.float64 for p in parameters)
        assert {p.role for p in parameters} == ({"matrix"} if name == "deep_linear" else {"bias"})

    def test_sampled_targets_give_the_fisher_matrix(self, name: str) -> None:
        """Compare the diagonal: squared gradients of single samples against the mean of second derivatives."""
        f = moved(function(name))
        if not f.gives_distribution:
            with pytest.raises(NotImplementedError):
                f.sampled(batch_of(f, MANY[:2]))
            return
        squares = [gradients(f, f.sampled(batch_of(f, MANY[i : i + 1]))).square() for i in range(1500)]
        estimate = torch.stack(squares).mean(0).sum().item()
        assert estimate == pytest.approx(fisher_trace(name, f), rel=0.2)


def fisher_trace(name: str, f: Any) -> float:
    """Return the trace of the Fisher matrix of one sample, worked out by hand for each function."""
    if name == "rosenbrock":  # 2 J^T J with the residuals 10 (y - x^2) and 1 - x
        return 2 * ((20 * f.x[0].item()) ** 2 + 100 + 1)
    if name == "quadratic":
        return float(log_spaced(100, 1000).sum())
    if name == "noisy_sparse":
        return 100.0
    if name == "logreg":  # mean of p (1 - p) |x|^2
        chances = torch.sigmoid(f.layer(f.inputs)[:, 0]).detach()
        return float((chances * (1 - chances) * f.inputs.square().sum(1)).mean())
    first, second, third = (layer.weight.detach() for layer in f.layers)  # d of W3 W2 W1 x by each matrix
    size = len(first)
    by_first = (third @ second).square().sum() * size
    by_second = third.square().sum() * first.square().sum()
    return float(by_first + by_second + size * (second @ first).square().sum())


# -- single functions --------------------------------------------------------------------------------------------------


def test_rosenbrock_by_hand() -> None:
    f: Any = function("rosenbrock")
    value = f.value()
    assert value.item() == pytest.approx(100 * (1 - 1.44) ** 2 + 2.2**2)  # 24.2
    expected = [-400 * -1.2 * (1 - 1.44) - 2 * 2.2, 200 * (1 - 1.44)]
    assert gradients(f, value).tolist() == pytest.approx(expected)  # (-215.6, -88)
    f = function("rosenbrock", "model.dimension=5")
    assert f.x.tolist() == [-1.2, 1.0, -1.2, 1.0, -1.2]
    with torch.no_grad():
        f.x.fill_(1)
    value = f.value()
    assert value.item() == 0
    assert gradients(f, value).tolist() == [0] * 5


@pytest.mark.parametrize("rotation", ["true", "false"])
def test_the_quadratic_has_the_stated_spectrum(rotation: str) -> None:
    f: Any = function("quadratic", "model.dimension=5", "model.condition=10000", f"model.rotation={rotation}")
    hessian = torch.autograd.functional.hessian(
        lambda theta: torch.func.functional_call(f, {"theta": theta}, {"index": torch.zeros(1)}), f.theta.detach()
    )
    eigenvalues = torch.linalg.eigvalsh(hessian).tolist()
    assert eigenvalues == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1], rel=1e-10)
    diagonal = torch.equal(hessian, torch.diag(hessian.diagonal()))
    assert diagonal == (rotation == "false")
    assert f.value().item() == pytest.approx(1.1111 / 2)


def test_the_quadratic_is_minimal_at_its_optimum() -> None:
    f: Any = function("quadratic", "model.dimension=5", "model.condition=100")
    optimum = f.rotation.T @ torch.ones(5, dtype=torch.float64)  # Q (1, ..., 1)
    with torch.no_grad():
        f.theta.copy_(optimum)
    assert f.measure().item() < 1e-28
    assert gradients(f, f.value()).abs().max() < 1e-14


def test_gaussian_noise_has_its_standard_deviation() -> None:
    f: Any = function("quadratic", "model.dimension=4", "model.noise=0.25")
    slopes = f.drawn(SEED, MANY)["slopes"]
    assert slopes.std(0).tolist() == pytest.approx([0.25] * 4, rel=0.03)
    assert slopes.mean(0).abs().max() < 5 * 0.25 / math.sqrt(len(MANY))
    batch = batch_of(f, torch.arange(3))
    noisy, exact = gradients(f, f(batch)), 3 * gradients(f, f.value())
    torch.testing.assert_close(noisy - exact, batch["slopes"].sum(0))
    assert function("quadratic").drawn(SEED, MANY) == {}


def test_a_rotation_is_orthogonal() -> None:
    torch.manual_seed(0)
    q = random_rotation(6)
    torch.testing.assert_close(q @ q.T, torch.eye(6, dtype=torch.float64))


def test_sparse_noise_has_the_stated_density_and_tails() -> None:
    f: Any = function("noisy_sparse", "model.dimension=10")
    drawn = f.drawn(SEED, MANY)
    there = drawn["weights"] > 0
    assert there.double().mean().item() == pytest.approx(0.1, rel=0.02)
    assert set(drawn["weights"].unique().tolist()) == {0.0, 10.0}
    assert (drawn["slopes"][~there] == 0).all()
    assert drawn["slopes"][there].median().abs() < 0.1
    batch = batch_of(f, torch.arange(1))
    expected = batch["weights"][0] * (0 - 1) + batch["slopes"][0]
    torch.testing.assert_close(gradients(f, f(batch)), expected)


@pytest.mark.parametrize(("freedom", "quantile"), [(1.0, 1.0), (2.0, 0.8164966), (1.5, 0.8812)])
def test_students_t_has_its_quartiles(freedom: float, quantile: float) -> None:
    """Known: 1 for 1 degree of freedom (Cauchy), sqrt(2/3) for 2, between them for 1.5."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 400_000, generator=generator, dtype=torch.float64)
    values = student_t(first, second, freedom)
    assert values.isfinite().all()
    low, middle, high = (values.kthvalue(int(share * len(values))).values.item() for share in (0.25, 0.5, 0.75))
    assert (-low, high) == (pytest.approx(quantile, rel=0.015), pytest.approx(quantile, rel=0.015))
    assert abs(middle) < 0.01


def test_reddis_slopes() -> None:
    f: Any = function("reddi")
    slopes = f.drawn(SEED, torch.arange(303))["slopes"]
    assert (slopes == 1010).nonzero()[:, 0].tolist() == [0, 101, 202]  # t mod 101 = 1, with t from 1
    assert (slopes == -10).sum() == 300
    assert f.slope == pytest.approx(10 / 101) == slopes.mean().item()
    chance: Any = function("reddi", "model.variant=stochastic")
    assert chance.slope == pytest.approx(0.2)
    share = (chance.drawn(SEED, MANY)["slopes"] == 1010).double().mean().item()
    assert share == pytest.approx(0.01, abs=5 * math.sqrt(0.01 / len(MANY)))


def test_reddis_point_is_projected_onto_its_interval() -> None:
    f: Any = function("reddi")
    assert f.measure() == 1
    for outside, held in ((3.0, 1.0), (-1.5, -1.0), (0.25, 0.25)):
        with torch.no_grad():
            f.x.fill_(outside)
        f.project()
        assert f.x.item() == held
        assert f.measure().item() == held + 1


def test_the_deep_network_equals_its_teacher_at_the_minimum() -> None:
    f: Any = function("deep_linear", "model.width=3", "model.depth=2", "model.condition=4")
    assert torch.linalg.svdvals(f.teacher).tolist() == pytest.approx([1, 0.5, 0.25])
    with torch.no_grad():
        f.layers[0].weight.copy_(f.teacher)
        f.layers[1].weight.copy_(torch.eye(3))
    assert f.measure().item() == 0
    assert f(batch_of(f, torch.arange(5))).item() == 0
    with torch.no_grad():
        f.layers[1].weight.mul_(2)  # W = 2 M: half of |M|^2
    assert f.value().item() == pytest.approx((1 + 0.25 + 0.0625) / 2)


def test_logistic_regression_with_one_sample_by_hand() -> None:
    """x = 1, y = 1, l2 = 1: the minimum solves w = 1 / (1 + e^w), w = 0.4010581..."""
    one = torch.ones(1, 1, dtype=torch.float64)
    w = minimizer(one, one[0], 1.0)
    assert w.item() == pytest.approx(1 / (1 + math.exp(w.item())), abs=1e-13)
    assert w.item() == pytest.approx(0.4010581375, abs=1e-9)
    expected = math.log1p(math.exp(-w.item())) + w.item() ** 2 / 2
    assert objective(w, one, one[0], 1.0).item() == pytest.approx(expected, rel=1e-14)


def test_logistic_regression_has_its_minimum_at_the_minimizer() -> None:
    f: Any = function("logreg")
    with torch.no_grad():
        f.layer.weight.copy_(minimizer(f.inputs, f.labels, f.l2))
    assert gradients(f, f.value()).norm() < 1e-12
    assert abs(f.measure().item()) < 1e-15
    torch.manual_seed(2)
    for size in (1e-6, 1e-3, 1.0):
        step = size * torch.randn_like(f.layer.weight)
        with torch.no_grad():
            f.layer.weight += step
            assert f.measure().item() > 0
            f.layer.weight -= step
    assert function("logreg").value().item() == pytest.approx(math.log(2))


def test_newtons_method_converges_on_separable_samples() -> None:
    torch.manual_seed(3)
    inputs = torch.randn(30, 4, dtype=torch.float64) * 100
    labels = torch.where(inputs[:, 0] > 0, 1.0, -1.0).double()
    w = minimizer(inputs, labels, 1e-6).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(w, inputs, labels, 1e-6), w)
    assert gradient.norm() < 1e-9
