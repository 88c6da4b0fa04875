"""Rates by width: which tensors they reach, by how much, and where they are refused."""

from __future__ import annotations

import pytest
import torch
from conftest import QUICK, Twice
from torch import nn

from optbench import config
from optbench.contracts import Parameter
from optbench.errors import ConfigError
from optbench.models.roles import problem_of
from optbench.optimizers.width_rates import WidthRates
from optbench.scripts.objects import build_optimizer
from optbench.sessions.assemble import assemble

GPT = ("model=gpt", "batch_size=4", "data.sequence_length=8", "threads=1", "tracker=none", "steps=3", "clip=none")
WIDE = ("model=gpt", "model.width=64")


def named(*roles: str) -> list[Parameter]:
    return [Parameter(role, torch.full((2, 2), 1.0, requires_grad=True), role) for role in roles]


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.25), (0.5, 0.5), (0.0, 1.0)])
def test_steps_of_hidden_layers_are_scaled_and_no_others(power: float, share: float) -> None:
    parameters = named("embedding", "first", "matrix", "convolution", "head", "norm", "bias")
    inner = torch.optim.SGD([p.tensor for p in parameters], lr=0.5, weight_decay=0.2)
    for p in parameters:
        p.tensor.grad = torch.full((2, 2), 0.8)
    WidthRates(inner, tuned_at=8, power=power, parameters=parameters, width=32).step()
    moved = {p.role: round(1 - p.tensor.detach()[0, 0].item(), 6) for p in parameters}
    scaled = dict.fromkeys(("matrix", "convolution", "head"), 0.5 * share)
    assert moved == {**dict.fromkeys(("embedding", "first", "norm", "bias"), 0.5), **scaled}


def test_they_are_the_rates_of_groups() -> None:
    """AdamW with a group at an eighth of the rate does the same, decay included."""
    words = [*GPT, "optimizer=adamw", "optimizer.weight_decay=0.1", "optimizer.no_decay=[]", "model.width=256"]
    built = assemble(config.load([*words, "width_rates=32"])).trainer.players["model"]
    parameters = problem_of(built.module).parameters
    copies = {p.name: p.tensor.detach().clone().requires_grad_() for p in parameters}
    hidden = [p.name for p in parameters if p.role == "matrix"]
    assert len(hidden) == 8  # two blocks of four; the output layer is the embedding
    lr = built.optimizer.param_groups[0]["lr"]
    groups = [
        {"params": [copies[name] for name in hidden], "lr": lr / 8},
        {"params": [tensor for name, tensor in copies.items() if name not in hidden], "lr": lr},
    ]
    settings = built.optimizer.param_groups[0]
    torchs = torch.optim.AdamW(groups, betas=tuple(settings["betas"]), eps=settings["eps"], weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        for p in parameters:
            p.tensor.grad = torch.randn(p.tensor.shape, generator=generator)
            copies[p.name].grad = p.tensor.grad.clone()
        built.optimizer.step()
        torchs.step()
    for p in parameters:
        torch.testing.assert_close(p.tensor, copies[p.name], rtol=1e-5, atol=1e-6)


def test_nothing_changes_at_the_width_of_the_rate() -> None:
    ends = []
    for words in ([], ["width_rates=32"], ["width_rates=64"]):
        trainer = assemble(config.load([*GPT, "model.width=32", *words])).trainer
        batches = trainer.data.train_batches(4)
        for _ in range(3):
            trainer.take_turns(next(batches), recording=False)
        ends.append(trainer.weights_sha256())
    assert ends[0] == ends[1] != ends[2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("model=mlp", "width_rates=32"), "width_rates goes by the width of the model"),
        (("model=gpt", "width_rates=32"), "width_rates goes by the width of the model"),  # which its size decides
        ((*WIDE, "optimizer=schedulefree", "schedule=constant", "width_rates=32"), "schedule-free"),
        ((*WIDE, "width_rates=0"), "width_rates=0: expected null or a whole number"),
    ],
)
def test_what_cannot_be_served_is_refused(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        assemble(config.load(["tracker=none", *words]))


def test_a_script_has_to_pass_its_model() -> None:
    loaded, layer = config.load([*WIDE, "width_rates=32"]), nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="goes by the roles of parameters"):
        build_optimizer(loaded, layer.parameters(), "")
    assert build_optimizer(loaded, layer, "").factor == 0.5


def test_a_run_resumes_bit_for_bit(twice: Twice) -> None:
    twice(config.load([*QUICK, "model=resnet9", "model.width=8", "width_rates=4", "steps=12"]), 5)
