"""BERT, GPT-2 and T5: sizes, roles, kernels, and what optimizers and compilers require."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from typing import Any

import pytest
import torch
from language_data import LENGTH, SIZE, text_batch, text_data
from torch import nn

from optbench import config
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.models import bert, gpt, t5
from optbench.models.attention import attention_of
from optbench.models.roles import trainable
from optbench.tasks.language import LanguageTask
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature
from optbench.training.seeding import seeds_of

NAMES = ["bert", "gpt", "t5"]
BERT = {"size": "base", "width": None, "dropout": 0.1, "positions": 512}
GPT = {"size": "small", "width": None, "dropout": 0.1, "positions": 1024}
T5 = {"size": "small", "dropout": 0.1, "sentinels": 100, "feed_forward": "relu"}


def task_of(name: str, *overrides: str) -> LanguageTask:
    """Build the model with its own settings and task on small data."""
    data = text_data()
    choice = config.load([f"model={name}", *overrides]).model
    settings = dict(choice.settings)
    task = dict(settings.pop("task"))
    torch.manual_seed(0)
    model = imports.load(choice.target)(data, **settings)
    return imports.load(task.pop("target"))(model, data, seeds_of(0), **task)


def network_of(name: str, *overrides: str) -> Any:
    """Build the model's network from transformers."""
    return task_of(name, *overrides).model.get_submodule("network")


def weights(model: nn.Module) -> int:
    return sum(p.tensor.numel() for p in trainable(model))


def on_meta(build: Any, vocabulary: int, **settings: Any) -> nn.Module:
    """Build a model without values, for counting."""
    with torch.device("meta"):
        return build(text_data(size=vocabulary), **settings)


def test_published_sizes() -> None:
    # transformers' counts of the published checkpoints: BERT with its masked-LM head and without a pooler
    assert weights(on_meta(bert.build, 30522, **BERT)) == 109_514_298
    assert weights(on_meta(gpt.build, 50257, **GPT)) == 124_439_808
    assert weights(on_meta(t5.build, 32128 - 100, **T5)) == 60_506_624


@pytest.mark.parametrize("width", [32, 64, 256, 512])
def test_a_width_keeps_depth_and_the_width_of_a_head(width: int) -> None:
    small, wide = network_of("gpt"), network_of("gpt", f"model.width={width}")
    assert (wide.config.n_embd, wide.config.n_head) == (width, width // 32)
    assert wide.config.n_layer == small.config.n_layer
    other = network_of("bert", f"model.width={width}").config
    assert (other.hidden_size, other.num_attention_heads, other.intermediate_size) == (width, width // 32, 4 * width)


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_the_width_of_the_size_changes_nothing(name: str) -> None:
    given, default = network_of(name, "model.width=128").state_dict(), network_of(name).state_dict()
    assert all(torch.equal(value, default[key]) for key, value in given.items())


def test_a_width_that_heads_do_not_fill_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"model.width=100 is not a multiple of 32, .*") as caught:
        network_of("gpt", "model.width=100")
    assert caught.value.hint == "Set model.width=96 or 128"
    with pytest.raises(ConfigError) as caught:
        network_of("bert", "model.width=16")
    assert caught.value.hint == "Set model.width=32"


@pytest.mark.parametrize("name", NAMES)
class TestModel:
    def test_every_weight_gets_a_gradient_and_starts_at_chance(self, name: str) -> None:
        task = task_of(name)
        (turn,) = task.turns(text_batch(4), 0)
        total, count = turn.loss(turn.batch)
        total.backward()
        pieces = SIZE + (100 if name == "t5" else 0)
        # T5's outputs share embeddings of variance 1, which still show in its last hidden units
        assert float(total.detach() / count) == pytest.approx(math.log(pieces), abs=1.5 if name == "t5" else 0.2)
        assert all(p.tensor.grad is not None for p in trainable(task.model))

    def test_hessian_products_are_differences_of_gradients(self, name: str) -> None:
        # T5's ReLU has jumps in its first derivative, which affect differences but not products
        task = task_of(name, *(["model.feed_forward=gated-gelu"] if name == "t5" else []))
        task.model.double()
        curvature = BatchCurvature(task.model, Clock(), contextlib.nullcontext(), None)
        (turn,) = task.turns(text_batch(2), 0)
        curvature.turn = turn
        thetas = [p.tensor for p in trainable(task.model)]
        vectors = [torch.randn_like(theta) for theta in thetas]
        products = curvature.hessian_products(thetas, vectors)

        @torch.no_grad()
        def move(shift: float) -> None:
            for theta, vector in zip(thetas, vectors, strict=True):
                theta.add_(vector, alpha=shift)

        def gradient_at(shift: float) -> list[torch.Tensor]:
            move(shift)
            total, count = task.loss(turn.batch)
            found = torch.autograd.grad(total / count, thetas)
            move(-shift)
            return list(found)

        step = 1e-5
        ahead, behind = gradient_at(step), gradient_at(-step)
        differences = torch.cat([((a - b) / (2 * step)).flatten() for a, b in zip(ahead, behind, strict=True)])
        products = torch.cat([p.flatten() for p in products])
        assert (products - differences).norm() < 1e-3 * differences.norm()

    def test_attention_is_torchs_own(self, name: str) -> None:
        assert network_of(name).config._attn_implementation == "sdpa"

    def test_bf16_autocast_stays_close(self, name: str) -> None:
        task = task_of(name)
        (turn,) = task.turns(text_batch(4), 0)
        exact = turn.loss(turn.batch)[0]
        with torch.autocast("cpu", torch.bfloat16):
            rounded = turn.loss(turn.batch)[0]
        assert rounded.dtype == torch.float32
        assert float(rounded.detach()) == pytest.approx(float(exact.detach()), rel=0.01)

    @pytest.mark.slow
    def test_it_compiles_to_the_same_loss(self, name: str) -> None:
        task = task_of(name)
        (turn,) = task.turns(text_batch(4), 0)
        expected = turn.loss(turn.batch)[0]
        task.model.compile(fullgraph=True)
        found = turn.loss(turn.batch)[0]
        found.backward()
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def roles(name: str) -> Counter[str]:
    return Counter(p.role for p in trainable(task_of(name).model))


def test_roles() -> None:
    # BERT: pieces, positions, segments; 6 matrices a block and the head's transform; norms of embeddings and transform
    assert roles("bert") == {"embedding": 3, "matrix": 2 * 6 + 1, "norm": 2 * (2 * 2 + 2), "bias": 2 * 6 + 2}
    # GPT-2: pieces, positions; queries, keys and values in one matrix
    assert roles("gpt") == {"embedding": 2, "matrix": 2 * 4, "norm": 2 * (2 * 2 + 1), "bias": 2 * 4}
    # T5: pieces and two tables of relative positions; 4 + 2 and 4 + 4 + 2 matrices a block
    assert roles("t5") == {"embedding": 3, "matrix": 2 * (6 + 10), "norm": 2 * (2 + 3) + 2}


def test_gpt_weights_are_outputs_by_inputs_and_compute_the_same() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    network = GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, n_positions=LENGTH, n_embd=16, n_layer=2, n_head=2)).eval()
    tokens = text_batch(2)["tokens"]
    expected = network(tokens).logits
    layers = gpt.with_linear_layers(network)
    torch.testing.assert_close(layers(tokens).logits, expected)
    shapes = {n.split(".")[-2]: tuple(p.shape) for n, p in layers.named_parameters() if n.endswith("weight")}
    assert shapes["c_attn"] == (48, 16)
    assert shapes["c_fc"] == (64, 16)


def test_gpt_is_causal() -> None:
    model = task_of("gpt").model.eval()
    tokens = text_batch(1)["tokens"]
    changed = tokens.clone()
    changed[0, 10] = (changed[0, 10] + 1) % SIZE
    same = torch.isclose(model(tokens), model(changed), atol=1e-6).all(2)[0]
    assert same[:10].all()
    assert not same[10:].any()


def test_bert_scores_the_given_positions() -> None:
    model = task_of("bert").model.eval()
    tokens = text_batch(2)["tokens"]
    everywhere = model.get_submodule("network")(tokens).logits
    positions = torch.tensor([[3, 0], [5, LENGTH - 1]])
    torch.testing.assert_close(model(tokens, positions)[1, 1], everywhere[1, LENGTH - 1])
    torch.testing.assert_close(model(tokens, positions)[0, 0], everywhere[0, 3])


def test_a_sample_longer_than_the_table_of_positions_is_refused() -> None:
    for build, settings in ((bert.build, BERT), (gpt.build, GPT)):
        with pytest.raises(ConfigError, match=r"data.sequence_length=2000 exceeds model.positions="):
            build(text_data(length=2000), **settings)


def test_gated_layers_keep_the_number_of_weights() -> None:
    plain, gated = (on_meta(t5.build, 400, **{**T5, "feed_forward": f}) for f in ("relu", "gated-gelu"))
    assert weights(gated) == pytest.approx(weights(plain), rel=0.001)


def test_an_architecture_without_torchs_attention_uses_its_own() -> None:
    assert attention_of(nn.Linear) == "eager"


def test_a_small_bert_starts_from_sines_and_cosines() -> None:
    table = bert.sinusoids(64, 8, 0.05)
    assert table.shape == (64, 8)
    assert table.square().mean().sqrt().item() == pytest.approx(0.05)
    shift = torch.linalg.lstsq(table[:-3], table[3:]).solution  # one matrix moves every position by three
    torch.testing.assert_close(table[:-3] @ shift, table[3:], atol=1e-5, rtol=0)
    positions = network_of("bert").bert.embeddings.position_embeddings.weight
    assert torch.equal(positions, bert.sinusoids(512, 128, 0.05))
