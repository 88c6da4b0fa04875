"""Lion against its paper, written again in NumPy float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from optbench.optimizers.core.choose_engine import has_compiler
from optbench.optimizers.lion import Lion

SHAPES = [(), (1,), (7,), (3, 5), (2, 3, 4), (2, 2, 3, 3), (0,)]
STEPS = 50


def paper(theta: np.ndarray, gradients: list[np.ndarray], lr: float, b1: float, b2: float, decay: float) -> np.ndarray:
    """Apply algorithm 2 of arXiv:2302.06675."""
    m = np.zeros_like(theta)
    for g in gradients:
        c = b1 * m + (1 - b1) * g
        theta = theta - lr * (np.sign(c) + decay * theta)
        m = b2 * m + (1 - b2) * g
    return theta


def gradients(shape: tuple[int, ...], seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for _ in range(STEPS)]


@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_it_equals_the_papers_rule(engine: str, decay: float) -> None:
    if engine == "compiled" and not has_compiler(torch.device("cpu")):
        pytest.skip("no C++ compiler here")
    start = [np.random.default_rng(9).standard_normal(shape) for shape in SHAPES]
    parameters = [torch.tensor(values, dtype=torch.float64, requires_grad=True) for values in start]
    optimizer = Lion(parameters, lr=0.01, betas=(0.9, 0.99), weight_decay=decay, engine=engine)
    optimizer.warm_up()
    assert optimizer.engine == engine
    given = [gradients(shape, seed) for seed, shape in enumerate(SHAPES)]
    for step in range(STEPS):
        for parameter, sequence in zip(parameters, given, strict=True):
            parameter.grad = torch.tensor(sequence[step], dtype=torch.float64)
        optimizer.step()
    for parameter, values, sequence in zip(parameters, start, given, strict=True):
        expected = paper(values, sequence, 0.01, 0.9, 0.99, decay)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_swapped_betas_give_other_results() -> None:
    sequence = gradients((5,), 0)
    start = np.ones(5)
    right, wrong = (paper(start, sequence, 0.01, *betas, 0.0) for betas in ((0.9, 0.99), (0.99, 0.9)))
    assert not np.allclose(right, wrong)


def test_a_schedule_and_new_shapes_do_not_recompile() -> None:
    if not has_compiler(torch.device("cpu")):
        pytest.skip("no C++ compiler here")
    from torch._dynamo.utils import counters

    parameters = [torch.randn(n, requires_grad=True) for n in (5, 8, 33, 700)] + [torch.randn(4, 9, requires_grad=True)]
    optimizer = Lion(parameters, lr=0.1, betas=(0.9, 0.99), weight_decay=0.1, engine="compiled")
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    before = counters["stats"]["unique_graphs"]
    for step in range(5):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    assert counters["stats"]["unique_graphs"] == before


def test_small_problems_run_eagerly_and_large_ones_compiled() -> None:
    engines = {}
    for count in (10, 1_000_000):
        optimizer = Lion([torch.zeros(count, requires_grad=True)], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
        engines[count] = optimizer.engine
    assert engines[10] == "eager"
    assert engines[1_000_000] == ("compiled" if has_compiler(torch.device("cpu")) else "eager")
