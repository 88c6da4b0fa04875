"""Steps of SAM, L-BFGS and the modifiers worked by hand, and L-BFGS against torch's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

import numpy as np
import pytest
import torch
from small_problems import LBFGS, arrays, history, quadratic

from optbench.checks.papers import cautious, lbfgs, lookahead, momentum, sam, sgd


def curve(a: float) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the loss a/2 x^2 with its gradient."""
    return lambda theta: (float(a / 2 * np.sum(theta**2)), a * theta)


def test_sam_takes_the_gradient_at_the_perturbed_point() -> None:
    steps = sam.paper(np.array(2.0), [curve(1.0)] * 2, rho=0.5, lr=repeat(0.1), momentum=0.5, weight_decay=0.1)
    # gradients at 2.5 and 2.23, each with 0.1 of the unperturbed theta; buffer 2.7, then 1.35 + 2.403
    np.testing.assert_allclose(history(steps), [1.73, 1.73 - 0.3753], rtol=1e-12)


def test_sam_at_a_minimum_stays() -> None:
    theta = next(sam.paper(np.zeros(3), [curve(1.0)], rho=0.5, lr=repeat(0.1), momentum=0.5, weight_decay=0.1))
    np.testing.assert_array_equal(theta, np.zeros(3))


def test_lbfgs_uses_the_curvature_of_its_first_move() -> None:
    steps = lbfgs.paper(np.array(1.0), [curve(4.0)] * 3, **LBFGS)
    # t = 0.5 min(1, 1 / 4), d = -4; then y.s / y.y = 1 / 4: half of each Newton step
    np.testing.assert_allclose(history(steps), [0.5, 0.25, 0.125], rtol=1e-14)


def test_lbfgs_leaves_out_a_pair_of_negative_curvature() -> None:
    steps = lbfgs.paper(np.array(1.0), [curve(4.0), curve(10.0)], **LBFGS)
    # y = 5 - 4, s = -0.5: left out, so the second step is along the gradient, 0.5 * 5
    np.testing.assert_allclose(history(steps), [0.5, -2.0], rtol=1e-14)


@pytest.mark.parametrize(("max_iter", "end"), [(2, 0.5), (3, 0.25), (4, 0.0625)])
def test_lbfgs_counts_iterations_and_evaluations(max_iter: int, end: float) -> None:
    calls = []

    def counted(theta: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(float(theta))
        return curve(4.0)(theta)

    theta = next(lbfgs.paper(np.array(1.0), [counted], **LBFGS | {"max_iter": max_iter}))
    np.testing.assert_allclose(theta, end, rtol=1e-14)
    assert len(calls) == max_iter  # 5/4 of 2 and of 3 evaluations end the step before its last iteration


@pytest.mark.parametrize(("tolerance", "end"), [({"tolerance_grad": 4.0}, 1.0), ({"tolerance_change": 0.6}, 0.5)])
def test_lbfgs_stops_at_its_tolerances(tolerance: dict[str, float], end: float) -> None:
    theta = next(lbfgs.paper(np.array(1.0), [curve(4.0)], **LBFGS | {"max_iter": 20} | tolerance))
    np.testing.assert_allclose(theta, end, rtol=1e-14)


@pytest.mark.parametrize("max_iter", [1, 2, 3])
@pytest.mark.parametrize("history_size", [1, 3])
def test_lbfgs_equals_torchs_on_changing_quadratics(max_iter: int, history_size: int) -> None:
    random = np.random.default_rng(0)
    half = random.standard_normal((6, 6))
    problems = [(half @ half.T / 6 + np.eye(6) * random.uniform(1, 2), random.standard_normal(6)) for _ in range(12)]
    start, rule = random.standard_normal((2, 3)), LBFGS | {"max_iter": max_iter, "history_size": history_size}
    parameter = torch.tensor(start, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameter], **rule | {"lr": 0.5})
    steps = lbfgs.paper(start, [quadratic(A, b) for A, b in problems], **rule)
    for theta, (A, b) in zip(steps, problems, strict=True):
        optimizer.step(torch_quadratic(optimizer, parameter, torch.tensor(A), torch.tensor(b)))
        np.testing.assert_allclose(theta, parameter.detach().numpy(), rtol=1e-9, atol=1e-9)


def torch_quadratic(
    optimizer: torch.optim.Optimizer, parameter: torch.Tensor, A: torch.Tensor, b: torch.Tensor
) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        x = parameter.reshape(-1)
        loss = x @ A @ x / 2 - b @ x
        loss.backward()
        return loss

    return closure


def test_lookahead_starts_from_the_first_weights() -> None:
    # after five unit steps half of the way back; if the slow weights began at the first sync, the fifth would end at -2
    theta = np.array(3.0)
    inner = sgd.paper(theta, [1.0] * 10, lr=repeat(1.0), weight_decay=0.0)
    steps = lookahead.paper(theta, inner, k=5, alpha=0.5)
    assert [float(now) for now in steps] == [2, 1, 0, -1, 0.5, -0.5, -1.5, -2.5, -3.5, -2]


def test_cautious_masks_and_rescales() -> None:
    theta, gradients = np.zeros(2), arrays([[1, 1], [-0.25, 1], [1, 1]])
    inner = momentum.paper(theta, gradients, lr=repeat(1.0), momentum=0.5, weight_decay=0.0)
    steps = cautious.paper(theta, inner, gradients, floor=1e-3)
    # second update (0.25, 1.5): the first goes against its gradient, the second counts twice; the buffer keeps both
    np.testing.assert_allclose(history(steps), [[-1, -1], [-1, -4], [-2.125, -5.75]], rtol=1e-14)


def test_cautious_has_a_floor() -> None:
    theta, gradients = np.zeros(4), arrays([[1, 1, 1, 1], [1, -0.1, -0.1, -0.1], [-0.1, -0.1, -0.1, -0.1]])
    inner = momentum.paper(theta, gradients, lr=repeat(1.0), momentum=0.5, weight_decay=0.0)
    one, two, three = history(cautious.paper(theta, inner, gradients, floor=0.5))
    np.testing.assert_allclose(two, [-1 - 1.5 / 0.5, -1, -1, -1], rtol=1e-14)  # a quarter is left, the floor a half
    assert one[0] == -1
    np.testing.assert_array_equal(three, two)  # every update would go against its gradient
