"""pytorch_optimizer's rules with sums over all tensors (D-Adaptation) and with random probes (Kron)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from optbench import config
from optbench.checks.deviation import Deviation
from optbench.checks.faithful import DECAYS, deviations
from optbench.checks.gradient_feeds import GradientFeed, drawing
from optbench.checks.paper_rules import paper_rule
from optbench.checks.subject import Subject, make_subject
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build
from optbench.optimizers.core.interface import Optimizer

pytest.importorskip("pytorch_optimizer")

SHAPES = {"matrix": (6, 4), "convolution": (4, 2, 3, 3), "head": (5, 5), "bias": (5,)}
KRON = {"damping": 0.0, "merge_dims": "false", "balance": 0.0, "weight_decay": 0.1}


def minimise(optimizer: str, impl: str, steps: int, settings: Sequence[str] = ()) -> tuple[torch.Tensor, Optimizer]:
    """Return the parameters after steps towards a random point, and the optimizer."""
    choice = config.load([f"optimizer={optimizer}", f"optimizer.impl={impl}", *settings]).optimizer
    generator = torch.Generator().manual_seed(0)
    thetas = {role: torch.randn(shape, generator=generator).requires_grad_() for role, shape in SHAPES.items()}
    problem = Problem(tuple(Parameter(role, theta, role) for role, theta in thetas.items()))
    optimizing = build(imports.load(choice.target), choice.settings, choice.implementation, problem, [])
    torch.manual_seed(1)  # for probes
    for _ in range(steps):
        for theta in thetas.values():
            theta.grad = theta.detach() - 3 + 0.1 * torch.randn(theta.shape, generator=generator)
        optimizing.step()
    return torch.cat([theta.detach().flatten() for theta in thetas.values()]), optimizing


@pytest.mark.parametrize("impl", ["pytorch_optimizer", "pytorch_optimizer_foreach"])
def test_d_adaptation_finds_our_distance(impl: str) -> None:
    settings = [f"optimizer.{key}" for key in ("d0=1e-3", "growth_rate=1.05", "weight_decay=0.1")]
    (ours, by_ours), (theirs, by_theirs) = (minimise("dadapt_adam", one, 60, settings) for one in ("optbench", impl))
    distance = float(by_ours.param_groups[0]["next"])
    assert distance > 1e-2, "it has grown from 1e-3"
    assert by_theirs.param_groups[0]["d"] == pytest.approx(distance, rel=1e-5)
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4)


def test_kron_takes_our_steps_with_our_probes() -> None:
    settings = [f"optimizer.{key}={value}" for key, value in KRON.items()]
    ours, theirs = (minimise("psgd_kron", impl, 100, settings)[0] for impl in ("optbench", "pytorch_optimizer"))
    assert float((ours - theirs).abs().max()) < 1e-4


def kron(**settings: object) -> Subject:
    chosen = [f"optimizer.{key}={value}" for key, value in {**KRON, **settings}.items()]
    return make_subject(config.load(["optimizer=psgd_kron", "optimizer.impl=pytorch_optimizer", *chosen]))


def test_kron_is_the_papers_except_for_the_decay_of_vectors() -> None:
    subject, rule = kron(), paper_rule("psgd_kron")
    assert rule is not None
    found = [one for one in deviations(subject, rule, subject.all_settings, DECAYS) if isinstance(one, Deviation)]
    differing = {(len(one.case.shape), one.case.decay) for one in found if one.first_step is not None}
    assert differing == {(0, 0.1), (1, 0.1)}
    assert len(found) == 14


def test_a_check_answers_and_records_the_probes_that_a_library_draws() -> None:
    feed = GradientFeed(kron(), (3, 5))
    feed.advance()
    given = feed.paper_steps[-1]
    assert isinstance(given, tuple)
    gradient, evidence = given
    assert isinstance(evidence, dict)
    assert evidence["probe"].shape == (3, 5)
    assert gradient.shape == (3, 5)
    answered = drawing(lambda: torch.randn_like(torch.ones(2), dtype=torch.float64), lambda tensor: 7 * tensor)()
    assert answered.tolist() == [7.0, 7.0]
    assert answered.dtype == torch.float64
    assert torch.randn_like(torch.ones(2)).tolist() != [7.0, 7.0]
