"""QK-Clip against its paper's rule and its definition: the logits that are seen, the rows that are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conftest import QUICK, Twice, rows_of
from simulated_cuda import simulated_cuda, take_steps, trainer_on_cuda
from torch import Tensor, nn
from torch.nn import functional

from optbench import config
from optbench.checks.papers import qk_clip
from optbench.clipping import NoClip
from optbench.contracts import AttentionHeads, Turn
from optbench.errors import ConfigError
from optbench.optimizers.qk_clip import QKClip, factors_of
from optbench.scripts.objects import build_optimizer
from optbench.sessions.assemble import assemble
from optbench.sessions.session import execute
from optbench.training import attention_logits
from optbench.training.attention_logits import AttentionPlayer, largest_logits
from optbench.training.clock import Clock
from optbench.training.loop import Trainer
from optbench.training.player import ActivePlayer
from optbench.training.stacked import NotStackable, Stack

SMALL = ("batch_size=8", "threads=1", "tracker=none")
MODELS = {"gpt": (), "bert": (), "vit": (), "t5": (), "unet": ("model.width=8",), "hf/llama": ()}
MODELS |= {"hf/qwen2": ("model.config.num_key_value_heads=2",)}  # grouped queries, with biases
PER_MODEL = {"gpt": 2, "bert": 2, "vit": 4, "t5": 6, "unet": 1, "hf/llama": 2, "hf/qwen2": 2}
"""Attentions in each model."""


# -- one attention, beside the paper -----------------------------------------------------------------------------------


class Attention(nn.Module):
    """An attention of 4 query heads of 3 units between 5 tokens of 6 numbers."""

    heads, key_heads, units, tokens, width = 4, 4, 3, 5, 6
    options: ClassVar[dict[str, Any]] = {}
    scale = 3**-0.5

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(self.width, self.heads * self.units)
        self.key, self.value = (nn.Linear(self.width, self.key_heads * self.units) for _ in range(2))

    def projected(self, x: Tensor) -> list[Tensor]:
        return [layer(x) for layer in (self.query, self.key, self.value)]

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (one.unflatten(-1, (-1, self.units)).transpose(1, 2) for one in self.projected(x))
        query, key, value = self.changed(query, key, value)
        return functional.scaled_dot_product_attention(query, key, value, **self.options)

    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query, key, value

    def seen(self) -> Tensor:
        """Return which keys each query sees, (tokens, tokens)."""
        return torch.ones(self.tokens, self.tokens, dtype=torch.bool)

    def rows(self) -> tuple[Tensor, Tensor]:
        """Return a head's weights and biases as columns side by side: (heads, units, width + 1) of queries and keys."""
        found = [
            torch.cat([w, b[:, None]], 1).unflatten(0, (-1, self.units)).detach() for w, b in self.weights_and_biases()
        ]
        return found[0], found[1].repeat_interleave(self.heads // self.key_heads, 0)

    def weights_and_biases(self) -> list[tuple[Tensor, Tensor]]:
        return [(layer.weight, layer.bias) for layer in (self.query, self.key)]


class Fused(Attention):
    """Queries, keys and values of one layer; causal; a scale of its own."""

    options: ClassVar[dict[str, Any]] = {"is_causal": True, "scale": 0.7}
    scale = 0.7

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(self.width, 3 * self.heads * self.units)

    def projected(self, x: Tensor) -> list[Tensor]:
        return list(self.all(x).chunk(3, -1))

    def seen(self) -> Tensor:
        return super().seen().tril()

    def weights_and_biases(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.all.weight.chunk(3), self.all.bias.chunk(3), strict=True))[:2]


class Masked(Attention):
    def seen(self) -> Tensor:
        return torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.5

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        return {"attn_mask": self.seen()}


class Added(Masked):
    """A mask that is added, and a position bias with it, which no weight scales."""

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        bias = 50 * torch.randn(4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        return {"attn_mask": bias.masked_fill(~self.seen(), torch.finfo(torch.float16).min)}


class Grouped(Attention):
    key_heads = 2
    options: ClassVar[dict[str, Any]] = {"enable_gqa": True}


class Copied(Attention):
    """Grouped queries whose keys are copied for each head."""

    key_heads = 2

    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)


def network_of(kind: type[Attention]) -> Attention:
    torch.manual_seed(0)
    return kind().double()


def inputs() -> Tensor:
    return torch.randn(7, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def player_of(network: nn.Module, tau: float | None, **changes: Any) -> ActivePlayer:
    settings: dict[str, Any] = {"needs": [], "precision": "fp32", "micro_batch": None}
    settings |= {"device": torch.device("cpu"), "clock": Clock(), **changes}
    optimizer: Any = torch.optim.SGD(network.parameters(), lr=0.1)
    if tau is None:
        return ActivePlayer(network, optimizer, NoClip(None), **settings)  # type: ignore[arg-type]
    heads: list[AttentionHeads] = []
    optimizer = QKClip(optimizer, tau=tau, attention=heads)
    return AttentionPlayer(heads, "qk_clip: model=own", network, optimizer, NoClip(None), **settings)


def step(player: ActivePlayer, x: Tensor | None = None, measure: bool = False) -> None:
    batch = {"inputs": inputs() if x is None else x}
    loss = lambda micro: (player.module(micro["inputs"]).square().sum(), len(micro["inputs"]))  # noqa: E731
    player.step(Turn("model", batch, loss), 1.0, measure)


def papers_maxima(network: Attention) -> list[float]:
    """Return the largest logit of each query head."""
    x = np.concatenate([inputs().numpy(), np.ones((7, 5, 1))], 2)
    queries, keys = network.rows()
    seen = network.seen().numpy()
    return [
        qk_clip.largest_logit(q.numpy(), k.numpy(), x, seen, network.scale) for q, k in zip(queries, keys, strict=True)
    ]


def papers_weights(network: Attention, largest: np.ndarray, tau: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the clipped weights of each head's query and key."""
    heads = zip(*network.rows(), largest, strict=True)
    return [qk_clip.clipped(q.numpy(), k.numpy(), maximum, tau=tau) for q, k, maximum in heads]


KINDS = [Attention, Fused, Masked, Added, Grouped, Copied]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_papers_rule(kind: type[Attention]) -> None:
    network, plain = network_of(kind), network_of(kind)
    maxima = np.array(papers_maxima(network))
    shared = maxima.reshape(kind.key_heads, -1).max(1).repeat(kind.heads // kind.key_heads)
    tau = float(np.median(np.unique(shared)))
    assert 0 < sum(shared > tau) < len(shared)
    player = player_of(network, tau)
    step(player, measure=True)
    step(player_of(plain, None))
    for found, after in zip(network.rows(), zip(*papers_weights(plain, shared, tau), strict=True), strict=True):
        np.testing.assert_allclose(found.numpy(), np.stack(after), rtol=1e-12, atol=0)
    assert player.measured["attention_logit"] == pytest.approx(maxima.max(), rel=1e-12)
    assert player.measured["clipped_heads"] == pytest.approx(np.mean(np.unique(shared) > tau))


@pytest.mark.parametrize("kind", KINDS)
def test_logits_computed_in_parts_are_the_same(kind: type[Attention], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_logits, "PART", 7 * 4 * 5 * 2)  # two queries at once
    network = network_of(kind)
    player = player_of(network, 1e9)
    expected = papers_maxima(network)
    step(player)
    (heads,) = player.logits.heads  # type: ignore[attr-defined]
    shared = torch.tensor(expected).view(kind.key_heads, -1).amax(1)
    assert sorted(heads.largest.tolist()) == pytest.approx(sorted(shared.tolist()), rel=1e-12)


def test_maxima_are_those_of_the_steps_micro_batches() -> None:
    network = network_of(Attention)
    expected = papers_maxima(network)
    player = player_of(network, 1e9, micro_batch=2)
    step(player)
    (heads,) = player.logits.heads  # type: ignore[attr-defined]
    assert sorted(heads.largest.tolist()) == pytest.approx(sorted(expected), rel=1e-12)
    step(player, 1e-3 * inputs())
    assert heads.largest.max() < 0.1  # nothing is left of the first step


def test_what_is_evaluated_again_in_a_step_is_not_recorded() -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:  # type: ignore[override]
            closure()
            with torch.no_grad():
                for theta in self.param_groups[0]["params"]:
                    theta.mul_(10)
            return closure()

    network = network_of(Attention)
    expected = papers_maxima(network)
    heads: list[AttentionHeads] = []
    optimizer = QKClip(Twice(network.parameters(), lr=0.1), tau=1e9, attention=heads)
    settings: dict[str, Any] = {"needs": ["closure"], "precision": "fp32", "micro_batch": None, "clock": Clock()}
    step(AttentionPlayer(heads, "", network, optimizer, NoClip(None), device=torch.device("cpu"), **settings))  # type: ignore[arg-type]
    assert sorted(heads[0].largest.tolist()) == pytest.approx(sorted(expected), rel=1e-12)


def test_factors_leave_small_negative_and_undefined_logits_alone() -> None:
    largest = torch.tensor([50.0, 100.0, 400.0, -7.0, torch.nan, -torch.inf])
    assert factors_of(largest, 100.0).tolist() == [1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_an_overflow_in_fp16_is_the_largest_number() -> None:
    query = torch.full((1, 1, 1, 4), 300.0, dtype=torch.float16)
    assert largest_logits(query, query, None, False, 1.0).tolist() == [65504.0]


# -- what can't be scaled ----------------------------------------------------------------------------------------------


class Normed(Attention):
    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return functional.rms_norm(query, (3,)), functional.rms_norm(key, (3,)), value


class Placed(Attention):
    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query, key + torch.linspace(0, 1, 15).view(5, 3).double(), value


class Summed(Attention):
    def projected(self, x: Tensor) -> list[Tensor]:
        query, key, value = super().projected(x)
        return [query + key, key, value]


class Mixed(Attention):
    """The keys of a head share units with those of the next one."""

    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query, key + key.roll(1, 1), value


class Flat(Attention):
    def changed(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)


class Frozen(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.key.requires_grad_(False)


class Later(Attention):
    """Attends from the second pass on."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        first = super().forward(x)
        if self.calls == 1:
            return first
        other = functional.linear(x, self.value.weight, self.value.bias).unflatten(-1, (-1, 3)).transpose(1, 2)
        return first + functional.scaled_dot_product_attention(other, other, other)


REFUSED = {
    Normed: "not proportional to its weights",
    Placed: "not proportional to its weights",
    Summed: "its query is made by 2 linear layers",
    Mixed: "its heads share rows",
    Flat: "no dimension of heads",
    Frozen: "no attention whose logits can be read",
    Later: "it is not in the first step",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_attention_that_cannot_be_scaled_is_refused(kind: type[Attention]) -> None:
    network = network_of(kind)
    player = player_of(network, 1.0)
    with pytest.raises(ConfigError, match=f"qk_clip: model=own has .*{REFUSED[kind]}") as caught:
        for _ in range(2):
            step(player)
    assert "Leave the modifier out" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compile=true"], "qk_clip reads attention logits in Python, which compiled models skip"),
        (["optimizer=schedulefree", "schedule=constant"], "qk_clip cannot scale the weights of an optimizer"),
        (["devices=2", "strategy=fsdp"], "qk_clip cannot be sharded: a head's largest logit"),
    ],
)
def test_runs_in_which_it_cannot_work_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        execute(config.load(["model=vit", *SMALL, "qk_clip=100", "steps=2", *words]), tmp_path)


def test_a_model_without_attention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="qk_clip: model=mlp has no attention whose logits can be read"):
        execute(config.load([*QUICK, "qk_clip=100", "steps=2"]), tmp_path)


def test_runs_of_a_pack_take_turns_at_their_passes() -> None:
    players = [player_of(network_of(Attention), 1.0) for _ in range(2)]
    with pytest.raises(NotStackable, match="gradients in its own way"):
        Stack(players)


# -- packaged models ---------------------------------------------------------------------------------------------------


def trainer_of(model: str, *words: str) -> Trainer:
    trainer = assemble(config.load([f"model={model}", *MODELS[model], *SMALL, "schedule=constant", *words])).trainer
    for module in trainer.modules:
        module.train()
    return trainer


def player_and_step(trainer: Trainer) -> tuple[Any, dict[str, Tensor]]:
    """Take one step; return the player and its weights before the step."""
    (player,) = trainer.players.values()
    before = {name: p.detach().clone() for name, p in player.module.named_parameters()}
    trainer.take_turns(next(trainer.data.train_batches(8)), recording=True)
    return player, before


def some_of(heads: Sequence[AttentionHeads]) -> float:
    """Return a tau that scales some of the heads."""
    largest = torch.cat([one.largest for one in heads]).double()
    return float(torch.minimum(largest.quantile(0.4, interpolation="midpoint"), 0.9 * largest.max()))


@pytest.mark.parametrize("model", MODELS)
def test_scaled_weights_give_logits_of_at_most_tau_on_the_same_batch(model: str) -> None:
    trainer = trainer_of(model, "qk_clip=1e9", *(["model.dropout=0"] if model in ("gpt", "bert", "t5") else []))
    player, before = player_and_step(trainer)
    assert len(player.logits.heads) == PER_MODEL[model]
    largest = [heads.largest.clone() for heads in player.logits.heads]
    tau = some_of(player.logits.heads)
    clipped = 0
    for i, heads in enumerate(player.logits.heads):  # one after another: each changes the inputs of those behind it
        with torch.no_grad():
            for name, p in player.module.named_parameters():
                p.copy_(before[name])
        heads.largest.copy_(largest[i])
        QKClip(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.0), tau=tau, attention=[heads]).step()
        player._recording = True
        random = torch.random.get_rng_state()
        with player.unmeasured():
            for turn in trainer.task.turns(next(trainer.data.train_batches(8)), 0):
                player.gradients(turn)
        torch.random.set_rng_state(random)
        torch.testing.assert_close(heads.largest, largest[i].clamp(max=tau), rtol=1e-4, atol=1e-5)
        clipped += int((largest[i] > tau).sum())
    assert clipped > 0


@pytest.mark.parametrize(("model", "optimizer"), [*((model, "muon") for model in MODELS), ("gpt", "adamw")])
def test_a_step_differs_from_one_without_it_in_the_scaled_rows_alone(model: str, optimizer: str) -> None:
    heads = player_and_step(trainer_of(model, f"optimizer={optimizer}", "qk_clip=1e9"))[0].logits.heads
    tau = some_of(heads)
    plain = dict(player_and_step(trainer_of(model, f"optimizer={optimizer}"))[0].module.named_parameters())
    player = player_and_step(trainer_of(model, f"optimizer={optimizer}", f"qk_clip={tau}"))[0]
    scaled: dict[int, tuple[Tensor, Tensor]] = {}
    for one in player.logits.heads:
        scaled |= {id(tensor): (head, factors_of(one.largest, tau)) for tensor, head in one.projections}
    touched, left = 0, 0
    for name, p in player.module.named_parameters():
        if id(p) not in scaled:
            assert torch.equal(p, plain[name]), name
            continue
        head, factors = scaled[id(p)]
        same = factors[head] == 1
        assert torch.equal(p[same], plain[name][same]), name
        assert not any(torch.equal(a, b) for a, b in zip(p[~same], plain[name][~same], strict=True) if a.any()), name
        wanted = plain[name] * factors[head].view(-1, *[1] * (p.ndim - 1))
        assert torch.equal(p, wanted)
        touched, left = touched + int((~same).sum()), left + int(same.sum())
    assert touched and (left or model == "unet")


@pytest.mark.parametrize("model", ["gpt", "t5", "hf/llama"])
def test_it_works_in_bf16(model: str) -> None:
    full = player_and_step(trainer_of(model, "qk_clip=1e9"))[0]
    player = player_and_step(trainer_of(model, "qk_clip=1e9", "precision=bf16"))[0]
    for one, other in zip(full.logits.heads, player.logits.heads, strict=True):
        assert one.largest.dtype == other.largest.dtype == torch.float32
        torch.testing.assert_close(one.largest, other.largest, rtol=0.05, atol=0.01)
        for (_, rows), (_, others) in zip(one.projections, other.projections, strict=True):
            assert torch.equal(rows, others)


# -- runs --------------------------------------------------------------------------------------------------------------

RUN = ["model=vit", *SMALL, "optimizer=muon", "optimizer.scale=rms", "qk_clip=2", "steps=8", "eval_every=8"]
RUN += ["record_every=1", "eval_train_samples=16"]


def test_a_run_resumes_bit_for_bit_and_records_its_logits(twice: Twice) -> None:
    calm, _ = twice(config.load(RUN), 3)
    rows = [row for row in rows_of(calm) if row["split"] == "train"]
    assert all(row["attention_logit"] > 0 for row in rows)
    assert any(row["clipped_heads"] > 0 for row in rows)


def test_two_ranks_clip_as_one(tmp_path: Path) -> None:
    one = execute(config.load([*RUN, "devices=1"]), tmp_path / "one")
    two = execute(config.load([*RUN, "devices=2"]), tmp_path / "two")
    for a, b in zip(rows_of(one), rows_of(two), strict=True):
        for key in {"train_loss", "val_loss", "attention_logit", "clipped_heads"} & a.keys():
            assert b[key] == pytest.approx(a[key], rel=2e-2), key


@pytest.mark.parametrize("others", [["lookahead.k=2", "cautious=true"], ["ema.decay=0.9"]])
def test_other_modifiers_go_around_it(others: list[str], tmp_path: Path) -> None:
    done = execute(config.load([*RUN, *others]), tmp_path)
    assert any(row.get("clipped_heads", 0) > 0 for row in rows_of(done))


def test_a_scripts_own_training_is_refused() -> None:
    with pytest.raises(ConfigError, match="qk_clip reads the attention of a model that optbench trains"):
        build_optimizer(config.load(["model=vit", "qk_clip=100"]), network_of(Attention), "")


def test_a_number_is_a_modifiers_switch() -> None:
    (modifier,) = config.load(["model=vit", "qk_clip=30"]).modifiers
    assert modifier.settings == {"tau": 30.0}
    assert config.load(["model=vit", "qk_clip=true"]).run_id == config.load(["model=vit", "qk_clip.tau=100"]).run_id
    assert config.load(["model=vit", "qk_clip=false"]).run_id == config.load(["model=vit"]).run_id
    with pytest.raises(ConfigError, match=r"qk_clip=0: expected null or a number in \(0, inf\)"):
        config.load(["model=vit", "qk_clip=0"])


def test_a_step_waits_for_nothing() -> None:
    with simulated_cuda() as simulation:
        loaded = config.load(["model=gpt", *SMALL, "optimizer=adamw", "qk_clip=100"])
        trainer, batches = trainer_on_cuda(loaded, simulation)
        with pytest.MonkeyPatch.context() as patch:  # finding the heads reads gradients, and waits
            patch.setattr(attention_logits, "heads_of", four_heads)
            take_steps(trainer, batches, 1)
        simulation.waits.clear()
        take_steps(trainer, batches, 2)
        assert simulation.waits == []


def four_heads(layers: Any, query: Tensor, *others: Any) -> tuple[AttentionHeads, Tensor]:
    """Return the heads of gpt's attention, on the device; which rows they have doesn't matter here."""
    device = query.device
    projections = [(t, torch.zeros(len(t), dtype=torch.int64, device=device)) for t in layers[0][:2]]
    return AttentionHeads(torch.zeros(4, device=device), projections), torch.arange(4, device=device)
