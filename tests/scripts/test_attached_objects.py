"""What `optbench.attach()` builds for a script's own model, without optbench around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from optbench.benches import script as bench
from optbench.config import load
from optbench.errors import ConfigError
from optbench.scripts.attach import AttachedRun, alone


def attached(**overrides: object) -> AttachedRun:
    """Return the run of a script that optbench has not started."""
    return AttachedRun(alone(overrides), None)


def network() -> nn.Module:
    """Return a small network with biases, norms and a head."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


def backward(model: nn.Module) -> torch.Tensor:
    """Return a loss whose gradients are in the model."""
    loss = model(torch.linspace(-1, 1, 8).reshape(2, 4)).square().sum()
    loss.backward()
    return loss


@pytest.mark.parametrize("name", ["adamw", "lion", "muon", "soap", "prodigy", "schedulefree", "sam", "lbfgs"])
def test_any_optimizer_trains_a_model_under_torchs_scheduler(name: str) -> None:
    run, model = attached(optimizer=name, steps=10), network()
    optimizer = run.optimizer(model)
    assert isinstance(optimizer, torch.optim.Optimizer)
    scheduler = run.schedule(optimizer)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    before = [p.detach().clone() for p in model.parameters()]

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        return backward(model)

    for _ in range(3):
        closure()
        optimizer.step(closure) if name in ("sam", "lbfgs") else optimizer.step()  # type: ignore[arg-type]
        scheduler.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    with run.eval_weights(optimizer, model):
        assert all(p.isfinite().all() for p in model.parameters())


def test_the_model_says_what_decays_and_groups_are_taken_as_they_are() -> None:
    run, model = attached(optimizer="lion"), network()
    decays = {id(p): g["weight_decay"] for g in run.optimizer(model).param_groups for p in g["params"]}
    assert [decays[id(p)] > 0 for p in model.parameters()] == [True, False, False, False, True, False]
    groups = [{"params": [model[0].weight], "lr": 0.5}, {"params": [model[0].bias]}]  # type: ignore[index]
    assert [g["lr"] for g in attached(optimizer="lion").optimizer(groups).param_groups] == [0.5, 0.0003]
    assert len(run.optimizer(model.named_parameters()).param_groups[0]["params"]) == 6


@pytest.mark.parametrize(
    ("name", "words"), [("muon", "only the model shows"), ("sophia_g", "second derivatives"), ("lion", "no parameters")]
)
def test_what_cannot_be_built_is_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        attached(optimizer=name).optimizer([] if name == "lion" else network().parameters())


def test_modifiers_wrap_the_optimizer_and_a_clip_returns_the_norm() -> None:
    run, model = attached(optimizer="lion", lookahead=True, clip="global_norm", **{"clip.max_norm": 0.5}), network()
    assert "Lookahead" in type(run.optimizer(model)).__name__
    backward(model)
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert run.clip(model).item() == pytest.approx(norm.item(), rel=1e-5)
    clipped = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert clipped.item() == pytest.approx(min(norm.item(), 0.5), rel=1e-4)


def test_nothing_is_written_without_optbench(here: Path) -> None:
    run = attached(steps=4)
    for step in range(run.steps):
        with run.phase("forward"), run.phase("data"):
            run.log(step=step, train_loss=torch.tensor(0.5), val_metric=1)
        assert not run.should_stop
    run.finish(val_metric=torch.tensor(0.5), trivial=0.1)
    assert (run.seed, run.checkpoint_folder, run.resumed, list(here.iterdir())) == (0, None, False, [])
    assert sum(run.clock.seconds().values()) <= run.clock.wall_seconds


def test_the_bench_of_scripts_measures_both_loops() -> None:
    report = bench.measure(load(["threads=1"]), pairs=2)
    assert report["attached_microseconds"] > report["bare_microseconds"] > 0
    assert any("goal" in line for line in bench.lines(report))
