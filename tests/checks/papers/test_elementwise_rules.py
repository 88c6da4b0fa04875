"""Elementwise rules: steps worked by hand, and what every rule must do.

Most cases have a large eps and betas far apart, so that a misplaced one shows in the first digits.
"""

from __future__ import annotations

import importlib
from functools import cache
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest

from optbench import config
from optbench.checks.paper_rules import with_rates

NAMES = (
    *("sgd", "momentum", "nesterov", "signsgd", "signum", "lion", "adam", "adamw", "amsgrad", "nadam", "radam"),
    *("adamw_independent", "adabelief", "lamb", "lars", "adafactor", "adan", "adopt"),
)
SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (2, 2, 3, 3), (0,)]
OTHER_KEYS = ("about", "impl", "no_decay", "engine", "adapt")
TINY = 1e-12

ADAM = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 0.5, "weight_decay": 0.0}
NADAM = {"lr": 0.1, "betas": (0.8, 0.75), "eps": 0.5, "weight_decay": 0.0}
RADAM = {"lr": 0.1, "betas": (0.9, 0.999), "eps": TINY, "weight_decay": 0.0}
LARS = {"lr": 0.2, "momentum": 0.5, "trust": 0.1, "eps": 0.5, "weight_decay": 0.1}
FACTOR = {"lr": 0.01, "decay_power": 0.8, "eps1": 1e-30, "eps2": 1e-3, "clip_threshold": 1.0, "weight_decay": 0.0}
FACTOR |= {"relative_step": True, "scale_parameter": True, "beta1": None}
ADAN = {"lr": 0.1, "betas": (0.5, 0.75, 0.9), "eps": 0.5, "weight_decay": 0.0}
ADOPT = {"lr": 0.1, "betas": (0.5, 0.75), "eps": 0.5, "clip_power": 0.25, "weight_decay": 0.0}
LAMB = {"lr": 0.1, "betas": (0.5, 0.75), "eps": TINY, "weight_decay": 0.0}

# name, hyperparameters, theta, gradients, theta after each of them
WORKED: list[tuple[str, dict[str, Any], Any, list[Any], list[Any]]] = [
    # g + wd theta is 3 + 1, then -1 + 0.8
    ("sgd", {"lr": 0.1, "weight_decay": 0.5}, 2, [3, -1], [1.6, 1.62]),
    # the buffer is 1, 1.5, 1.75
    ("momentum", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0}, 1, [1, 1, 1], [0.9, 0.75, 0.575]),
    # the buffer is 1 + 0.5, then half of it and 0.5 * 0.85
    ("momentum", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.5}, 1, [1, 0], [0.85, 0.85 - 0.1 * (0.75 + 0.425)]),
    # 1 + 0.5 * 1, then 1 + 0.5 * 1.5
    ("nesterov", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0}, 1, [1, 1], [0.85, 0.675]),
    ("nesterov", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.5}, 2, [1], [2 - 0.1 * 1.5 * 2]),
    # an element without a gradient only decays
    ("signsgd", {"lr": 0.1, "weight_decay": 0.5}, [1, 1, 1], [[5, -0.1, 0]], [[0.85, 1.05, 0.95]]),
    # the average is 0.5, 0.05, -0.175
    ("signum", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0}, 1, [1, -0.4, -0.4], [0.9, 0.8, 0.9]),
    ("signum", {"lr": 0.1, "momentum": 0.5, "weight_decay": 1}, 2, [1], [1.7]),
    # c is 0.1, 0.35, -0.125; with the betas swapped the second step would already go up
    ("lion", {"lr": 0.1, "betas": (0.9, 0.5), "weight_decay": 0}, 1, [1, -1, 1], [0.9, 0.8, 0.9]),
    ("lion", {"lr": 0.1, "betas": (0.9, 0.5), "weight_decay": 1}, 2, [1], [1.7]),
    # the first step is lr g / (|g| + eps)
    ("adam", ADAM, [1, 1], [[2, -3]], [[1 - 0.2 / 2.5, 1 + 0.3 / 3.5]]),
    # mhat = 1.75 / 0.75, vhat = 2.4375 / 0.4375
    ("adam", ADAM, 1, [1, 3], [1 - 0.1 / 1.5, 1 - 0.1 / 1.5 - 0.1 * (7 / 3) / (sqrt(39 / 7) + 0.5)]),
    # coupled: 3 + 0.5 * 2 goes through both moments
    ("adam", ADAM | {"weight_decay": 0.5}, 2, [3], [2 - 0.1 * 4 / 4.5]),
    ("adamw", ADAM, 1, [1, 3], [1 - 0.1 / 1.5, 1 - 0.1 / 1.5 - 0.1 * (7 / 3) / (sqrt(39 / 7) + 0.5)]),
    # decoupled: 3 / 3.5 from the moments and 0.5 * 2 beside them
    ("adamw", ADAM | {"weight_decay": 0.5}, 2, [3], [2 - 0.1 * (3 / 3.5 + 1)]),
    ("adamw_independent", ADAM, 1, [1], [1 - 0.1 / 1.5]),
    # half of theta decays at any learning rate; then half of the rest
    ("adamw_independent", ADAM | {"weight_decay": 0.5}, 2, [3], [1 - 0.1 * 3 / 3.5]),
    ("adamw_independent", ADAM | {"weight_decay": 0.5, "lr": 0.0}, 2, [3, 3], [1, 0.5]),
    # m is 0.5, 0.25 and v 0.25, 0.1875: the maximum stays at 0.25
    ("amsgrad", ADAM | {"variant": "paper"}, 1, [1, 0], [0.95, 0.925]),
    ("amsgrad", ADAM | {"variant": "torch"}, 0, [1, 0], [-0.1 / 1.5, -0.1 / 1.5 - 0.1 / 3 / (sqrt(4 / 7) + 0.5)]),
    # the second corrected v is 0.1875 / 0.4375, below the first, which is 1
    ("amsgrad", ADAM | {"variant": "optax"}, 0, [1, 0], [-0.1 / 1.5, -0.1 / 1.5 - 0.1 / 3 / 1.5]),
    ("amsgrad", ADAM | {"variant": "paper", "weight_decay": 0.5}, 2, [3], [2 - 0.1 * 2 / 2.5]),
    # psi 0: mu is always 0.4, and m = 0.2 * 2
    ("nadam", NADAM | {"momentum_decay": 0}, 1, [2], [1 - 0.1 * (2 + 0.4 * 0.4 / (1 - 0.16)) / 2.5]),
    # psi 1: mu_1 = 0.8 (1 - 0.48), mu_2 = 0.8 (1 - 0.4608)
    ("nadam", NADAM | {"momentum_decay": 1}, 1, [2], [1 - 0.1 * (2 + 0.43136 * 0.4 / (1 - 0.416 * 0.43136)) / 2.5]),
    # coupled: 3 + 0.5 * 2, so m = 0.8
    (
        "nadam",
        NADAM | {"momentum_decay": 0, "weight_decay": 0.5},
        2,
        [3],
        [2 - 0.1 * (4 + 0.4 * 0.8 / 0.84) / 4.5],
    ),
    # early steps: the corrected momentum is 2, then 1.0 / 0.19 of 0.9 * 0.2 + 0.1 * 4
    ("radam", RADAM | {"threshold": 4, "early": "momentum"}, 1, [2, 4], [0.8, 0.8 - 0.1 * 0.58 / 0.19]),
    ("radam", RADAM | {"threshold": 4, "early": "momentum", "weight_decay": 0.5}, 1, [2], [0.75]),
    ("radam", RADAM | {"threshold": 4, "early": "frozen", "weight_decay": 0.5}, 1, [2, 2], [0.95, 0.95**2]),
    # m = 1, s = 0.25 * 1 + 0.5, then m = 1.5, s = 0.75 * 0.75 + 0.25 * 0.25 + 0.5
    (
        "adabelief",
        ADAM,
        0,
        [2, 2],
        [-0.2 / (sqrt(3) + 0.5), -0.2 / (sqrt(3) + 0.5) - 0.2 / (sqrt(1.125 / 0.4375) + 0.5)],
    ),
    # b1 = 0: no deviation, and eps alone accumulates to shat = 0.01 / 0.25 in every step
    (
        "adabelief",
        ADAM | {"betas": (0, 0.75), "eps": 0.01},
        0,
        [2, 1, 2],
        [-0.2 / 0.21, -0.3 / 0.21, -0.5 / 0.21],
    ),
    ("adabelief", ADAM | {"weight_decay": 0.5}, 2, [2], [2 - 0.1 * (2 / (sqrt(3) + 0.5) + 1)]),
    # u = (1, -1): the step has length 0.1 * 5
    ("lamb", LAMB, [3, 4], [[1, -2]], [[3 - 0.5 / sqrt(2), 4 + 0.5 / sqrt(2)]]),
    # u = (1 + 1.5, -1 + 2), its norm sqrt(7.25): the decay is inside the ratio
    ("lamb", LAMB | {"weight_decay": 0.5}, [3, 4], [[1, -2]], [[3 - 1.25 / sqrt(7.25), 4 - 0.5 / sqrt(7.25)]]),
    # the ratio is 1 for a zero tensor, and for a zero update
    ("lamb", LAMB, [0, 0], [[1, -2]], [[-0.1, 0.1]]),
    ("lamb", LAMB, [3, 4], [[0, 0]], [[3, 4]]),
    ("lamb", LAMB | {"eps": 1.0}, [2], [[3]], [[1.8]]),
    # rate = 0.1 * 5 / (1 + 0.1 * 5 + 0.5) = 0.25, then 1 at a zero gradient
    ("lars", LARS, [3, 4], [[0.6, 0.8], [0, 0]], [[2.955, 3.94], [2.955 - 0.0816, 3.94 - 0.1088]]),
    ("lars", LARS, [0, 0], [[1, 0]], [[-0.2, 0]]),
    # without decay the rate still applies: 0.1 * 5 / 1.5
    ("lars", LARS | {"weight_decay": 0}, [3, 4], [[0, 1]], [[3, 4 - 0.2 / 3]]),
    # a vector's first update is the sign of its gradient, relative to RMS(theta) = 5 / sqrt(2)
    ("adafactor", FACTOR, [3, 4], [[7, -0.1]], [[3 - 0.05 / sqrt(2), 4 + 0.05 / sqrt(2)]]),
    ("adafactor", FACTOR | {"clip_threshold": 0.5}, [1, 1], [[7, -0.1]], [[0.995, 1.005]]),
    # a zero tensor has the scale eps2; a cap above 1 / sqrt(t) has no effect
    (
        "adafactor",
        FACTOR | {"lr": 9},
        [0, 0],
        [[7, -1], [7, -1]],
        [[-1e-3, 1e-3], [-1.707106781e-3, 1.707106781e-3]],
    ),
    # V = 1, then 1 + 3 * 2^-0.8
    (
        "adafactor",
        FACTOR | {"clip_threshold": 9},
        [1],
        [[1], [2]],
        [[0.99], [0.99 * (1 - 0.02 / sqrt(1 + 3 * 2**-0.8))]],
    ),
    # rows and columns both sum to (2, 10): U^2 = ((3, 0.6), (0.6, 1.08)), whose mean is 1.32
    (
        "adafactor",
        FACTOR,
        [[1, 1], [1, 1]],
        [[[1, 1], [1, 3]]],
        [1 - 0.01 * np.sqrt(np.array([[3, 0.6], [0.6, 1.08]]) / 1.32)],
    ),
    # two matrices of rank one: the factors are exact and U is the sign
    (
        "adafactor",
        FACTOR,
        [[[1, 1], [1, 1]], [[1, 1], [1, 1]]],
        [[[[1, 2], [2, 4]], [[-300, 100], [-3, 1]]]],
        [[[[0.99, 0.99], [0.99, 0.99]], [[1.01, 0.99], [1.01, 0.99]]]],
    ),
    # without relative steps and scales: lr itself, at any t
    ("adafactor", FACTOR | {"lr": 3, "relative_step": False}, [2], [[1], [1]], [[-4], [-16]]),
    ("adafactor", FACTOR | {"relative_step": False, "scale_parameter": False}, [2], [[1]], [[1.99]]),
    # half of the first step, then half of it and of the second, which is relative to the theta in between
    (
        "adafactor",
        FACTOR | {"beta1": 0.5, "weight_decay": 0.5},
        [2],
        [[1], [1]],
        [[1.97], [1.97 * (1 - 0.5 * 0.0197) - 0.5 * (0.01 + 0.0197)]],
    ),
    # decay and step are both relative: alpha = 0.02
    ("adafactor", FACTOR | {"weight_decay": 0.5}, [2], [[1]], [[1.96]]),
    # proximal decay after the step
    ("adan", ADAN | {"weight_decay": 1}, 1, [2], [0.92 / 1.1]),
    # d = 1: m = 1.25, v = 0.25, n = 0.09 + 0.1 * 2.75^2
    ("adan", ADAN, 0, [1, 2], [-0.1 / 1.5, -0.1 / 1.5 - 0.1 * (5 / 3 + 3 / 7) / (sqrt(0.84625 / 0.19) + 0.5)]),
    # the first gradient only sets v; m = 0.5 * (1 / 2), then 5 / sqrt(3.25) is clipped to 2^0.25
    ("adopt", ADOPT, 1, [2, 1, 5], [1, 0.975, 0.975 - 0.1 * (0.125 + 0.5 * 2**0.25)]),
    # no decay in the first step, decoupled afterwards
    ("adopt", ADOPT | {"weight_decay": 0.5}, 2, [2, 1], [2, 2 - 0.1 * (0.25 + 1)]),
    # v = 0: the root is eps, 0.25 / 0.5
    ("adopt", ADOPT, 1, [0, 0.25], [1, 0.975]),
]


def rule(name: str) -> Any:
    return importlib.import_module(f"optbench.checks.papers.{name}").paper


def trajectory(
    name: str, theta: Any, steps: list[Any], factors: list[float] | None = None, **settings: Any
) -> list[np.ndarray]:
    """Return copies of theta after each step; `factors` scale the rates."""
    start = np.array(theta, dtype=np.float64)
    given = [np.array(g, dtype=np.float64) for g in steps]
    values = with_rates(rule(name), settings, factors)
    return [after.copy() for after in rule(name)(start, given, **values)]


@pytest.mark.parametrize(("name", "settings", "theta", "steps", "expected"), WORKED)
def test_steps_worked_by_hand(name: str, settings: dict, theta: Any, steps: list[Any], expected: list[Any]) -> None:
    found = trajectory(name, theta, steps, **settings)
    assert len(found) == len(expected)
    for step, (value, hand) in enumerate(zip(found, expected, strict=True), 1):
        np.testing.assert_allclose(value, hand, rtol=1e-8, atol=1e-10, err_msg=f"{name}, step {step}")


@pytest.mark.parametrize(
    ("name", "settings", "theta", "steps", "expected"),
    [
        # the buffer is 1, 1.5: half of the rate for all of it
        ("momentum", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0}, 1, [1, 1], [0.9, 0.825]),
        # the buffer is 0.2 * 0.1 * 5 / 1.5 of (0, 1), then half of it and of the same again
        ("lars", LARS | {"weight_decay": 0, "trust": 0.1}, [3, 4], [[0, 1]], [[3, 4 - 0.2 / 3]]),
        ("lars", LARS | {"weight_decay": 0}, [0, 0], [[1, 0], [0, 0]], [[-0.2, 0], [-0.3, 0]]),
        # the schedule scales the cap, 9, not 1 / sqrt(2) below it
        ("adafactor", FACTOR | {"lr": 9}, [0, 0], [[7, -1]] * 2, [[-1e-3, 1e-3], [-1.707106781e-3, 1.707106781e-3]]),
        ("adafactor", FACTOR | {"lr": 0.5}, [0], [[7], [7]], [[-0.5e-3], [-0.75e-3]]),
        # the schedule scales the step, 0.1 * 2 / 2.5, and the decay, half of theta, alike
        ("adamw_independent", ADAM | {"weight_decay": 0.5}, 1, [2, 2], [0.42, 0.42 - 0.5 * (0.08 + 0.21)]),
    ],
)
def test_scheduled_steps_worked_by_hand(
    name: str, settings: dict, theta: Any, steps: list[Any], expected: list[Any]
) -> None:
    found = trajectory(name, theta, steps, [1.0, 0.5], **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_every_rule_has_a_worked_case() -> None:
    assert {name for name, *_ in WORKED} == set(NAMES)


@pytest.mark.parametrize(("threshold", "first"), [(4, 5), (5, 6)])
@pytest.mark.parametrize(("early", "early_move"), [("momentum", 1.0), ("frozen", 0.0)])
def test_radam_becomes_adaptive_in_step_5_or_6(threshold: float, first: int, early: str, early_move: float) -> None:
    theta = trajectory("radam", 0.0, [1.0] * 6, **RADAM, threshold=threshold, early=early)
    moves = -np.diff(theta, prepend=0.0) / 0.1
    # The moments of a constant gradient are 1, so an adaptive step is r_t; rho_5 = 4.99600, rho_6 = 5.99417.
    r = {t: sqrt((rho - 4) * (rho - 2) * 1999 / (1995 * 1997 * rho)) for t, rho in ((5, 4.99600), (6, 5.99417))}
    np.testing.assert_allclose(moves, [early_move if t < first else r[t] for t in range(1, 7)], rtol=1e-5)


def test_adam_recovers_from_a_large_gradient_and_amsgrad_does_not() -> None:
    shared = {"lr": 0.1, "betas": (0.0, 0.75), "eps": 0.0, "weight_decay": 0.0}
    gradients = [10.0] + [1.0] * 30
    amsgrad = -np.diff(trajectory("amsgrad", 0.0, gradients, **shared, variant="paper"))
    np.testing.assert_allclose(amsgrad, 0.1 / 5)  # the maximum stays at 0.25 * 100
    adam = -np.diff(trajectory("adam", 0.0, gradients, **shared))
    assert (np.diff(adam) > 0).all()
    assert adam[-1] == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_each_step_of_lamb_is_as_long_as_lr_times_theta(decay: float) -> None:
    random = np.random.default_rng(0)
    steps = [scale * random.standard_normal((3, 5)) for scale in (1e-3, 1.0, 1e3)]
    start = random.standard_normal((3, 5))
    theta = [start, *trajectory("lamb", start, steps, **LAMB | {"weight_decay": decay})]
    for before, after in pairwise(theta):
        assert np.linalg.norm(after - before) == pytest.approx(0.1 * np.linalg.norm(before))


@cache
def pinned(name: str, **more: float) -> dict[str, Any]:
    """Return the rule's hyperparameters in conf/optimizer/NAME.yaml."""
    tree = config.read_yaml(config.packaged_folder() / "optimizer" / f"{name}.yaml")
    values = {key: value for key, value in tree.items() if key not in OTHER_KEYS}
    return with_rates(rule(name), {**values, **more})


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_theta_of_any_shape_changes_in_place_and_stays_finite(name: str, decay: float, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    start = np.asarray(random.standard_normal(shape))
    steps = [
        np.zeros(shape),
        *(np.asarray(random.standard_normal(shape)) for _ in range(21)),
    ]  # an odd number of signs never adds up to 0
    theta, given = start.copy(), [g.copy() for g in steps]
    count = 0
    for after in rule(name)(theta, given, **pinned(name, weight_decay=decay)):
        assert after is theta
        assert np.isfinite(theta).all()
        count += 1
    assert count == len(steps)
    assert theta.shape == shape
    assert (theta != start).all()
    for g, original in zip(given, steps, strict=True):
        np.testing.assert_array_equal(g, original)


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_theta_between_steps_is_kept(name: str) -> None:
    theta, steps = np.ones(5), [np.full(5, g) for g in (1.0, 2.0, -1.0)]
    run = rule(name)(theta, steps, **pinned(name))
    for value in (100.0, -100.0, 0.0):
        next(run)
        assert theta == pytest.approx(np.full(5, theta[0]))
        theta[...] = value
    assert next(run, None) is None


@pytest.mark.parametrize("name", NAMES)
def test_gradients_may_share_one_array(name: str) -> None:
    sequence = [1.0, 3.0, -2.0, 0.5]

    def reused() -> Any:
        g = np.empty(2)
        for value in sequence:
            g[...] = value
            yield g

    shared, theta = pinned(name), np.ones(2)
    *_, last = rule(name)(theta, reused(), **shared)
    *_, expected = rule(name)(np.ones(2), [np.full(2, v) for v in sequence], **shared)
    np.testing.assert_array_equal(last, expected)
