"""Runs of functions: results, resume, divergence and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Twice

from optbench import config
from optbench.contracts import Seeds
from optbench.data.noise import Noise
from optbench.errors import ConfigError
from optbench.models.functions.rosenbrock import Rosenbrock
from optbench.sessions.execute import FinishedRun
from optbench.sessions.session import execute
from optbench.tasks.function import FunctionValue

SEEDS = Seeds(init=1, order=2, augment=3)
NOISY = [("quadratic", "model.noise=0.1"), ("noisy_sparse",), ("reddi", "model.variant=stochastic")]
NOISY += [("deep_linear",), ("logreg",)]
Run = Callable[..., FinishedRun]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs overrides."""
    return lambda *overrides: execute(config.load([*overrides, "tracker=none", "threads=1"]), tmp_path)


def task(dimension: int = 2) -> FunctionValue:
    return FunctionValue(Rosenbrock(dimension), Noise().load(Path(), torch.device("cpu"), SEEDS), SEEDS)


def test_evaluation_is_exact_and_includes_the_start() -> None:
    rosenbrock = task()
    assert isinstance(rosenbrock.model, Rosenbrock)
    with torch.no_grad():
        rosenbrock.model.x.fill_(0.0)
        seen = rosenbrock.evaluate({"index": torch.zeros(1)})
    values = {name: float(total) / count for name, (total, count) in seen.items()}
    assert values == {"loss": 1.0, "metric": 1.0, "trivial": pytest.approx(24.2)}


def test_divergence_is_a_million_times_the_start() -> None:
    assert "nan" in task().diverged(math.nan)
    assert "exceeds" in task().diverged(2.5e7)
    assert task().diverged(2.4e7) == ""


def test_splits_agree_and_the_metric_is_the_gap(run: Run) -> None:
    final = run("model=logreg", "optimizer=sgd", "steps=50").result["final"]
    for name in ("loss", "metric", "trivial"):
        assert final[f"val_{name}"] == final[f"test_{name}"] == final[f"train_{name}"]
    assert 0 < final["val_metric"] < final["val_trivial"]
    assert math.log(2) - final["val_trivial"] == pytest.approx(final["val_loss"] - final["val_metric"], rel=1e-12)


@pytest.mark.parametrize("chosen", NOISY, ids=lambda chosen: chosen[0])
def test_an_interrupted_run_resumes_bit_for_bit(chosen: tuple[str, ...], twice: Twice) -> None:
    overrides = [f"model={chosen[0]}", *chosen[1:], "optimizer=adamw", "steps=60", "record_every=7", "eval_every=20"]
    twice(config.load([*overrides, "tracker=none", "threads=1"]), 31)


def test_accumulated_micro_batches_give_the_gradient_of_the_batch(run: Run) -> None:
    whole, pieces = (run("model=deep_linear", "optimizer=sgd", "steps=20", *more) for more in ([], ["micro_batch=5"]))
    assert pieces.result["final"]["val_loss"] == pytest.approx(whole.result["final"]["val_loss"], rel=1e-10)


def test_projection_keeps_reddis_point_in_its_interval(run: Run) -> None:
    final = run("model=reddi", "optimizer=sgd", "optimizer.lr=1", "steps=5").result["final"]
    # -1010 to the left of -1, held there; then +10 to the right, held at +1
    assert final["val_metric"] == 2.0


def test_a_large_learning_rate_diverges_with_a_reason(run: Run) -> None:
    ended = run("model=quadratic", "optimizer=sgd", "optimizer.lr=10", "steps=300", "record_every=10")
    assert ended.result["status"] == "diverged"
    assert "exceeds" in ended.result["reason"]


def test_a_linear_function_refuses_sampled_targets(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"model=reddi.*no distribution"):
        run("model=reddi", "optimizer=sophia_g", "steps=2")


def test_a_function_refuses_images() -> None:
    with pytest.raises(ConfigError, match="model=rosenbrock reads function, and data=digits is images"):
        config.load(["model=rosenbrock", "data=digits"])


def test_a_value_out_of_range_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"model\.freedom=1"):
        config.load(["model=noisy_sparse", "model.freedom=1"])


# -- whole budgets -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ["rosenbrock", "quadratic", "deep_linear", "logreg"])
def test_the_gap_shrinks_a_thousandfold_within_the_budget(run: Run, name: str, optimizer: str) -> None:
    final = run(f"model={name}", f"optimizer={optimizer}").result["final"]
    assert -1e-15 < final["val_metric"] < final["val_trivial"] / 1000


@pytest.mark.slow
def test_signs_and_clipping_beat_sgd_on_heavy_tails(run: Run) -> None:
    """Reproduce Zhang et al. (2020) and Bernstein et al. (2018); the gap at the start is 50."""
    ways = {"adamw": (), "signsgd": (), "sgd": (), "clipped": ("clip=value", "optimizer.lr=0.01")}
    names = {"clipped": "sgd"}
    gaps = {
        way: sum(
            run("model=noisy_sparse", f"optimizer={names.get(way, way)}", f"seed={seed}", *more).result["final"][
                "val_metric"
            ]
            for seed in (0, 1)
        )
        / 2
        for way, more in ways.items()
    }
    assert gaps["adamw"] < 50 / 100
    assert gaps["signsgd"] < 50 / 500
    assert gaps["clipped"] < gaps["sgd"] / 3
    assert gaps["signsgd"] < gaps["sgd"] / 3


@pytest.mark.slow
def test_adam_goes_to_the_worst_point_and_amsgrad_to_the_best(run: Run) -> None:
    found = {
        name: run("model=reddi", f"optimizer={name}").result["final"]["val_metric"] for name in ("adam", "amsgrad")
    }
    assert found["adam"] > 1.9
    assert found["amsgrad"] < 0.1


@pytest.mark.slow
def test_on_the_stochastic_form_adam_fails_more_than_amsgrad(run: Run) -> None:
    """Compare means over seeds, since in 20,000 steps AMSGrad performs a random walk.

    The noise of the slopes (100 per step) hides their mean (0.2). Adam ends near the worst point."""
    found = {
        name: [
            run("model=reddi", "model.variant=stochastic", f"seed={seed}", f"optimizer={name}", "optimizer.lr=0.1")
            for seed in range(4)
        ]
        for name in ("adam", "amsgrad")
    }
    means = {name: sum(e.result["final"]["val_metric"] for e in ended) / 4 for name, ended in found.items()}
    assert means["adam"] > 1.5
    assert means["amsgrad"] < means["adam"] - 0.5
