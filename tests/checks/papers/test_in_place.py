"""The rules for matrices, curvature and closures, and the modifiers, change theta of any shape in place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import pytest
from small_problems import ADAHESSIAN, KFAC, KRON, LBFGS, MUON, SHAMPOO, SOAP, SOPHIA, history, quadratic

from optbench.checks.papers import (
    adahessian,
    cautious,
    kfac,
    lbfgs,
    lookahead,
    mars,
    muon,
    prodigy,
    psgd_kron,
    sam,
    schedulefree,
    shampoo,
    soap,
    sophia,
)

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (2, 2, 3, 3), (0,), (0, 3), (3, 0)]


def make_steps(shape: tuple[int, ...], count: int, form: str) -> list[Any]:
    """Return random steps in the form that a rule takes."""
    random = np.random.default_rng(1)

    def draw() -> np.ndarray:
        return np.array(random.standard_normal(shape))

    size = int(np.prod(shape))
    spread = np.diag(1.0 + np.arange(size))
    forms: dict[str, Callable[[], Any]] = {
        "gradient": draw,
        "probe": lambda: (draw(), {"probe": draw()}),
        "sampled": lambda: (draw(), {"sampled": draw(), "count": 4}),
        "product": lambda: (draw(), {"probe": np.sign(draw()), "product": draw()}),
        "closure": lambda: quadratic(spread, random.standard_normal(size)),
        "layer": lambda: (random.standard_normal((6, shape[-1] - 1)), random.standard_normal((6, shape[0]))),
    }
    return [forms[form]() for _ in range(count)]


ADAMLIKE = {"lr": repeat(0.1), "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
SAFE = {"safeguard_warmup": True, "use_bias_correction": True}
RULES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "muon": (muon, "gradient", MUON | {"nesterov": True, "ns_steps": 5, "scale": "rms", "weight_decay": 0.0}),
    "psgd_kron": (psgd_kron, "probe", KRON),
    "shampoo": (shampoo, "gradient", SHAMPOO | {"grafting": "adam", "betas": (0.9, 0.9), "interval": 2}),
    "soap": (soap, "gradient", ADAMLIKE | SOAP | {"interval": 2}),
    "sophia_g": (sophia, "sampled", SOPHIA | {"rho": 1.0, "interval": 1, "weight_decay": 0.0}),
    "sophia_h": (sophia, "product", SOPHIA | {"rho": 1.0, "interval": 1, "weight_decay": 0.0}),
    "adahessian": (adahessian, "product", ADAHESSIAN | {"eps": 1e-4, "interval": 1, "weight_decay": 0.0}),
    "mars": (
        mars,
        "gradient",
        ADAMLIKE | {"gamma": 0.025, "optimize_1d": True, "lr_1d": repeat(0.01), "betas_1d": (0.9, 0.95)},
    ),
    "prodigy": (prodigy, "gradient", ADAMLIKE | {"d0": 1e-2, "d_coef": 1.0, "growth_rate": None, **SAFE}),
    "schedulefree": (schedulefree, "gradient", ADAMLIKE | {"warmup_steps": 3}),
    "sam": (sam, "closure", {"rho": 0.05, "lr": repeat(0.01), "momentum": 0.9, "weight_decay": 0.0}),
    "lbfgs": (lbfgs, "closure", LBFGS | {"max_iter": 4}),
}
IGNORES_THETA = sorted(set(RULES) - {"prodigy", "schedulefree", "sam", "lbfgs"})  # steps depend on gradients only


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sorted(RULES))
def test_theta_is_changed_in_place(name: str, shape: tuple[int, ...]) -> None:
    rule, form, extra = RULES[name]
    theta = np.ones(shape)
    for now in rule.paper(theta, make_steps(shape, 6, form), **extra):
        assert now is theta
    assert theta.shape == shape and theta.dtype == np.float64 and np.isfinite(theta).all()
    assert (theta != 1).any() or theta.size == 0


def test_theta_of_a_layer_is_changed_in_place() -> None:
    theta = np.ones((3, 5))
    rule = KFAC | {"momentum": 0.9, "interval": 2, "kl_clip": 1e-3}
    assert all(now is theta for now in kfac.paper(theta, make_steps((3, 5), 6, "layer"), **rule))
    assert (theta != 1).all()


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 2, 3, 3)], ids=str)
@pytest.mark.parametrize("name", IGNORES_THETA)
def test_a_move_of_theta_between_steps_is_kept(name: str, shape: tuple[int, ...]) -> None:
    """A modifier moves theta between two steps; the later steps start there."""
    rule, form, extra = RULES[name]
    unmoved, moved = np.zeros(shape), np.zeros(shape)
    history(rule.paper(unmoved, make_steps(shape, 6, form), **extra))
    for step, now in enumerate(rule.paper(moved, make_steps(shape, 6, form), **extra)):
        now += 10.0 * (step == 2)
    np.testing.assert_allclose(moved, unmoved + 10, rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_modifiers_nest_in_place(shape: tuple[int, ...]) -> None:
    theta, gradients = np.ones(shape), make_steps(shape, 6, "gradient")
    inner = mars.paper(theta, gradients, **RULES["mars"][2])
    steps = lookahead.paper(theta, cautious.paper(theta, inner, gradients, floor=1e-3), k=2, alpha=0.5)
    count = 0
    for now in steps:
        assert now is theta
        count += 1
    assert count == 6 and np.isfinite(theta).all()
    assert (theta != 1).any() or theta.size == 0
