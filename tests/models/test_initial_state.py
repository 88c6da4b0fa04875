"""Weights loaded by name and shape; parameters that are frozen by role or name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from optbench.errors import ConfigError, MissingError
from optbench.models.freezing import freeze
from optbench.models.initial_state import lines_of, load_matching
from optbench.models.pretrained import hf as hf_models
from optbench.models.pretrained import timm as timm_models
from optbench.models.roles import mark, trainable


class Tied(nn.Module):
    """An embedding whose weights are those of the output layer, a norm with statistics, and a head."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embedding.weight
        self.head = nn.Linear(4, classes)
        mark(self.head, "head")


def filled(module: nn.Module, seed: int = 1) -> dict[str, torch.Tensor]:
    """A state dict with other values than the module's own, tied names the same."""
    torch.manual_seed(seed)
    state = {name: torch.randn_like(t) if t.is_floating_point() else t + 3 for name, t in module.state_dict().items()}
    return {**state, "out.weight": state["embedding.weight"]} if "out.weight" in state else state


WRAPPED: dict[str, Callable[[str], str]] = {
    "plain": lambda name: name,
    "ddp": lambda name: f"module.{name}",
    "compiled": lambda name: f"_orig_mod.{name}",
    "both": lambda name: f"module._orig_mod.{name}",
    "lightning": lambda name: f"model.{name}",
    "part compiled": lambda name: name.replace("layers.0.", "layers.0._orig_mod."),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_weights_are_loaded_bit_for_bit_under_the_names_of_wrappers(kind: str) -> None:
    module = Tied()
    state = filled(module)
    loaded = load_matching(module, {WRAPPED[kind](name): tensor for name, tensor in state.items()}, "it")
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in state.items())
    assert (loaded.loaded, loaded.random, loaded.left_over) == (loaded.tensors, (), ())
    assert module.norm.num_batches_tracked == 3  # buffers, too


def test_a_wrapper_in_the_model_is_left_out_too() -> None:
    inner = Tied()
    state = filled(inner)
    outer = nn.ModuleDict({"network": inner})
    load_matching(outer, state, "it")
    assert torch.equal(inner.head.weight, state["head.weight"])


def test_names_that_only_wrappers_tell_apart_are_not_guessed() -> None:
    """Two networks in one model: `model.weight` and `weight` are different tensors."""
    module = nn.Linear(2, 2)
    module.model = nn.Linear(2, 2)
    before = module.model.weight.clone()
    loaded = load_matching(module, {"weight": torch.ones(2, 2), "bias": torch.ones(2)}, "it")
    assert torch.equal(module.model.weight, before)
    assert loaded.random == ("model.weight", "model.bias")


def test_another_head_keeps_its_own_values_and_is_told() -> None:
    module, state = Tied(3), filled(Tied(5))
    before = module.head.weight.clone()
    loaded = load_matching(module, {**state, "more": torch.ones(1)}, "weights.pt")
    assert torch.equal(module.head.weight, before)
    assert lines_of({"model": loaded}, "weights.pt") == [
        "init: 10 of 12 tensors from weights.pt; at random: head.weight (3, 4) not (5, 4), head.bias (3,) not (5,); "
        "not used: head.weight, head.bias, more"
    ]


def test_one_name_of_a_tied_weight_is_enough() -> None:
    module = Tied()
    state = filled(module)
    del state["embedding.weight"]
    assert load_matching(module, state, "it").random == ()
    assert torch.equal(module.embedding.weight, state["out.weight"])


def test_half_precision_is_read() -> None:
    module, state = Tied(), {name: t.bfloat16() if t.is_floating_point() else t for name, t in filled(Tied()).items()}
    load_matching(module, state, "it")
    assert torch.equal(module.head.weight, state["head.weight"].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.weight": torch.full((5, 4), torch.nan)}, "head.weight holds values that are not finite"),
        ({"head.weight": torch.full((5, 4), torch.inf)}, "head.weight holds values that are not finite"),
        ({"norm.running_var": torch.full((4,), torch.nan)}, "norm.running_var holds NaN"),
        ({"head.weight": torch.ones(5, 4, dtype=torch.int64)}, "head.weight is of torch.int64"),
        ({"head.weight": torch.ones(5, 4, dtype=torch.complex64)}, "head.weight is of torch.complex64"),
        ({"head.weight": torch.ones(4, 5)}, "matrices are transposed"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(change: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_matching(Tied(), {**filled(Tied()), **change}, "it")


def test_nothing_in_common_is_an_error() -> None:
    statistics = {name: t for name, t in filled(Tied()).items() if "running" in name or "tracked" in name}
    for state in ({"other": torch.ones(1)}, statistics):  # statistics alone are no weights
        with pytest.raises(ConfigError, match="no parameter there has the name and shape"):
            load_matching(Tied(), state, "it")


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        ((), ["embedding.weight", "norm.weight", "norm.bias", "layers.0.weight", "layers.0.bias", "head"]),
        (("embedding",), ["norm.weight", "norm.bias", "layers.0.weight", "layers.0.bias", "head"]),
        (("out",), ["norm.weight", "norm.bias", "layers.0.weight", "layers.0.bias", "head"]),  # tied
        (("norm", "bias"), ["embedding.weight", "layers.0.weight", "head.weight"]),
        (("layers.0.*", "norm"), ["embedding.weight", "head"]),
        (("layers", "model.norm"), ["embedding.weight", "head"]),
        (("*.weight",), ["norm.bias", "layers.0.bias", "head.bias"]),
        (("head",), ["embedding.weight", "norm.weight", "norm.bias", "layers.0.weight", "layers.0.bias", "head.bias"]),
    ],
)
def test_parameters_are_frozen_by_role_and_by_name(patterns: tuple[str, ...], left: list[str]) -> None:
    module = Tied()
    del module.layers[1]
    freeze({"model": module}, patterns)
    expected = [name for word in left for name in ([word] if "." in word else ["head.weight", "head.bias"])]
    assert [parameter.name for parameter in trainable(module)] == expected


def test_freezing_convolutions_freezes_the_first_one_too() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Conv2d(2, 2, 3, bias=False), nn.Linear(2, 2, bias=False))
    mark(module[0], "first")
    freeze({"model": module}, ["convolution"])
    assert [p.requires_grad for p in module.parameters()] == [False, False, True]
    freeze({"model": module.requires_grad_()}, ["first"])
    assert [p.requires_grad for p in module.parameters()] == [False, True, True]


def test_freezing_nothing_or_everything_is_an_error() -> None:
    with pytest.raises(ConfigError, match="matches no parameter") as caught:
        freeze({"model": Tied()}, ["layer.0"])
    assert caught.value.hint == "Did you mean freeze=[layers.0]?"
    with pytest.raises(ConfigError, match="no parameter is left to train"):
        freeze({"model": Tied()}, ["*"])
    with pytest.raises(ConfigError, match="no parameter of the generator is left"):
        freeze({"generator": nn.Linear(1, 1), "discriminator": nn.Linear(1, 1)}, ["generator.*"])


# -- pretrained models of other libraries -----------------------------------------------------------------------------


def test_a_model_of_transformers_is_read_from_its_folder(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from optbench.models.gpt import Gpt, with_linear_layers

    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    published = GPT2LMHeadModel(GPT2Config(vocab_size=11, **sizes)).eval()
    published.save_pretrained(tmp_path / "gpt")
    network = with_linear_layers(GPT2LMHeadModel(GPT2Config(vocab_size=11, **sizes))).eval()
    model = Gpt(network)
    state = hf_models.pretrained(str(tmp_path / "gpt"), model)
    assert load_matching(model, state, "hf").random == ()
    tokens = torch.arange(8)[None]
    assert torch.allclose(
        network(tokens).logits, published(tokens).logits, atol=1e-6
    )  # square matrices are turned, too
    other = Gpt(with_linear_layers(GPT2LMHeadModel(GPT2Config(vocab_size=9, **sizes))))
    random = load_matching(other, hf_models.pretrained(str(tmp_path / "gpt"), other), "hf").random
    assert random == ("network.transformer.wte.weight (9, 8) not (11, 8)",)
    with pytest.raises(ConfigError, match="not one of transformers"):
        hf_models.pretrained(str(tmp_path / "gpt"), nn.Linear(1, 1))
    with pytest.raises(MissingError, match="not in the cache") as caught:
        hf_models.pretrained("nobody/nothing", model)
    assert "hf download nobody/nothing" in caught.value.hint
    (tmp_path / "gpt" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        hf_models.pretrained(str(tmp_path / "gpt"), model)


def test_a_model_of_timm_is_read_from_the_cache_and_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    published = timm.create_model("resnet10t", pretrained=False)
    file = tmp_path / "weights.pth"
    torch.save(published.state_dict(), file)
    model = timm.create_model("resnet10t", pretrained=False, in_chans=1, num_classes=10)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: str(file))
    loaded = load_matching(model, timm_models.pretrained("resnet10t", model), "timm")
    assert loaded.random == ("fc.weight (10, 512) not (1000, 512)", "fc.bias (10,) not (1000,)")
    own, theirs = model.state_dict(), published.state_dict()
    assert torch.equal(own["layer1.0.conv1.weight"], theirs["layer1.0.conv1.weight"])
    assert torch.allclose(own["conv1.0.weight"], theirs["conv1.0.weight"].sum(1, keepdim=True))  # one channel for three


def test_a_model_of_timm_that_is_not_at_hand_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: None)
    with pytest.raises(MissingError, match="not in a cache") as caught:
        timm_models.pretrained("resnet18", nn.Conv2d(3, 1, 1))
    assert "timm.create_model('resnet18', pretrained=True)" in caught.value.hint
    with pytest.raises(ConfigError, match="no model 'resnet_18'"):
        timm_models.pretrained("resnet_18", nn.Conv2d(3, 1, 1))
