"""`optbench check --distributed`: rules that pass on two ranks, rules that are refused, and rules that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.checks import matrix, matrix_tables
from optbench.checks.ranks import distance, distributed
from optbench.checks.result import DIFFERS, NOT_APPLICABLE, PASS, CheckResult

WRONG = '''
import torch

class Rank(torch.optim.SGD):
    """Takes longer steps on later ranks."""

    @torch.no_grad()
    def step(self, closure=None):
        if torch.distributed.is_initialized() and torch.distributed.get_rank():
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.mul_(3)
        return super().step()

class Norm(torch.optim.SGD):
    """Needs the norm of whole tensors."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.div_(p.grad.norm() + 1e-8)
        return super().step()
'''
FILE = """# A rule that is wrong on ranks.
impl: own    # who implements it
lr: 0.1      # step size
about:
  algorithm: {name}
  paper: none
  implementations: {{own: {{target: "{module}:{name}"}}}}
  needs: []
  shardable: elements
  valid: {{lr: "[0, inf)"}}
"""


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """Return a configuration folder with optimizers that are wrong on two ranks."""
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "wrong.py").write_text(WRONG)
    for name in ("Rank", "Norm"):
        file = tmp_path / "optimizer" / f"{name.lower()}_wrong.yaml"
        file.write_text(FILE.format(name=name, module=tmp_path / "wrong.py"))
    return tmp_path


def states(words: list[str], folder: Path | None = None) -> dict[str, tuple[str, str]]:
    return {f.check: (f.state, f.detail) for f in distributed(config.load(words, folder))}


def test_an_elementwise_rule_passes_with_both_strategies() -> None:
    found = states(["optimizer=lion", "ema=true"])
    assert {check: state for check, (state, _) in found.items()} == {"ddp": PASS, "fsdp": PASS}


def test_a_refusal_is_not_applicable_and_gives_its_reason() -> None:
    found = states(["optimizer=kfac"])
    assert {state for state, _ in found.values()} == {NOT_APPLICABLE}
    assert "reads what its layers see" in found["fsdp"][1]


@pytest.mark.slow
def test_ranks_with_unequal_steps_differ(wrong: Path) -> None:
    assert states(["optimizer=rank_wrong"], wrong)["ddp"][0] == DIFFERS


@pytest.mark.slow
def test_a_rule_of_whole_tensors_declared_elementwise_differs_with_fsdp_only(wrong: Path) -> None:
    found = states(["optimizer=norm_wrong"], wrong)
    assert found["ddp"][0] == PASS
    assert found["fsdp"][0] == DIFFERS


def test_the_distance_is_a_share_of_the_fall_of_the_loss() -> None:
    assert distance([2.0, 1.5, 1.1], [2.0, 1.5, 1.0]) == pytest.approx(0.1)
    assert not distance([float("nan"), 1.0], [2.0, 1.0]) <= 0.02


def test_the_matrix_has_a_column_for_two_ranks() -> None:
    found = [CheckResult("ddp", PASS, ""), CheckResult("fsdp", NOT_APPLICABLE, "strategy=fsdp: it cannot")]
    cell = matrix.MatrixCell("sam", "ours", [CheckResult("scale", PASS, "")], found)
    text = matrix_tables.markdown([cell], {"x": "1"})
    assert "| optimizer | two ranks | ours |" in text
    assert "| sam | ddp, no fsdp | 1 |" in text
    assert "- **sam**, fsdp: strategy=fsdp: it cannot" in text
    bad = matrix.MatrixCell("sam", "ours", [], [CheckResult("ddp", DIFFERS, "apart")])
    assert not bad.holds
