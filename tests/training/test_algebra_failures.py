"""Linear algebra that fails in a step ends a run as diverged, with the tensor named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK
from torch import nn

from optbench import config
from optbench.sessions.assemble import assemble
from optbench.sessions.session import execute
from optbench.training.algebra_failures import Diverged, algebra_failures_named

OWN = """
import torch

class Inverting(torch.optim.Optimizer):
    optbench = {"search": {"lr": "log [1e-3, 1.0]"}}

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim == 2 and len(p) == 10 and self.steps == 3:
                    torch.linalg.inv(torch.zeros(3, 3))
                p.data.sub_(p.grad, alpha=group["lr"])
"""


def test_a_run_with_ones_own_optimizer(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    loaded = config.load([*QUICK, f"optimizer={tmp_path / 'own.py'}:Inverting"])
    result = execute(loaded, tmp_path / "results").result
    last = [name for name, p in assemble(loaded).trainer.modules[0].named_parameters() if p.ndim == 2][-1]
    assert result["status"] == "diverged"
    assert f"the optimizer's linear algebra failed for {last}: linalg.inv" in result["reason"]
    assert result["reason"].endswith("at step 3")


@pytest.mark.parametrize("words", [("optimizer=soap",), ("optimizer=shampoo", "optimizer.grafting=none")])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_broken_gradient_of_one_matrix(words: tuple[str, ...], broken: float) -> None:
    settings = ("optimizer.interval=1", "clip=none")
    trainer = assemble(config.load([*QUICK, *words, *settings])).trainer
    player = trainer.players["model"]
    name, matrix = [pair for pair in player.module.named_parameters() if pair[1].ndim == 2][-1]
    matrix.register_hook(lambda gradient: torch.full_like(gradient, broken))
    records = list(trainer.records())
    assert trainer.progress.status == "diverged"
    assert name in trainer.progress.reason
    assert all(record.split == "train" for record in records)


def test_a_list_of_tensors_is_named_by_its_broken_gradients() -> None:
    network = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(5)))
    thetas = [p.detach() for p in network.parameters()]
    broken = list(network.parameters())[1]
    broken.grad = torch.full((2, 2), torch.nan)

    def rule(bucket: Any) -> None:
        torch.linalg.cholesky(torch.zeros(len(bucket), 2, 2))

    with pytest.raises(Diverged, match=r"failed for 1\.weight: linalg\.cholesky"), algebra_failures_named(network):
        rule(thetas)
    broken.grad = None
    with (
        pytest.raises(Diverged, match=r"failed for 0\.weight, 1\.weight, 2\.weight and 2 more: linalg"),
        algebra_failures_named(network),
    ):
        rule(thetas)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="mine"), algebra_failures_named(nn.Linear(2, 2)):
        raise RuntimeError("mine")
