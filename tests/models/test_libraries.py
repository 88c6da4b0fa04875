"""Models of timm and transformers by their names: filled in from the data, refused with the way out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from optbench import config
from optbench.errors import ConfigError, MissingError
from optbench.models.roles import trainable
from optbench.sessions.assemble import assemble
from optbench.sessions.execute import FinishedRun

QUICK = ("tracker=none", "threads=1", "steps=2", "eval_train_samples=64", "batch_size=8")
TEXT = ("data.sequence_length=32",)
LM = {"model_type": "llama", "hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3, "vocab_size": 99}


def roles_of(*overrides: str) -> dict[str, str]:
    """Return the role of each parameter of a new model."""
    model = assemble(config.load([*QUICK, *overrides])).task.players["model"]
    return {p.name: p.role for p in trainable(model)}


@pytest.mark.parametrize(
    ("overrides", "head", "embeddings"),
    [
        (["model=timm/resnet10t"], "fc.weight", 0),
        (["model=timm/vit_tiny_patch16_224", "model.depth=1", "model.patch_size=2"], "head.weight", 1),
        (["model=hf/vit"], "network.classifier.weight", 1),
        (["model=hf/llama", *TEXT], "network.lm_head.weight", 1),
        (["model=hf/gpt2", *TEXT], None, 2),
        (["model=hf/bert", "task=masked_lm", *TEXT], None, 3),
        (["model=hf/roberta", "task=causal_lm", *TEXT], None, 3),
    ],
)
def test_a_library_s_model_fits_the_data_and_has_its_roles(
    overrides: list[str], head: str | None, embeddings: int
) -> None:
    found = roles_of(*overrides)
    heads = [name for name, role in found.items() if role == "head"]
    assert heads == ([head] if head else [name for name in heads if "head.dense" in name])
    assert sum(role == "embedding" for role in found.values()) == embeddings


def test_a_causal_head_on_an_encoder_does_not_look_ahead() -> None:
    import torch

    model = assemble(config.load([*QUICK, "model=hf/bert", "task=causal_lm", *TEXT])).task.players["model"].eval()
    tokens = torch.arange(20)[None]
    changed = tokens.clone()
    changed[0, 10:] = 3
    assert torch.allclose(model(tokens)[:, :10], model(changed)[:, :10], atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=timm/resnet81"], r"timm has no model 'resnet81'\nDid you mean model=timm/resnet\w+\?"),
        (["model=timm/resnet18.a1_in1k"], r"names weights, not a model\n.*init=timm/resnet18.a1_in1k"),
        (["model=timm/vit_tiny_patch16_224"], r"not take images of 1x8x8 .*\n.*model.patch_size=2"),
        (["model=timm/convnext_atto"], r"not take images of 1x8x8 .*\n.*data=cifar10"),
        (["model=timm/resnet18", "data=pydocs"], "reads images, and data=pydocs is text"),
        (
            ["model=timm/resnet18", "model.dropp_rate=1"],
            "Did you mean model.drop_path_rate|Did you mean model.drop_rate",
        ),
        (["model=hf/lama"], r"no model type 'lama'\nDid you mean model=hf/llama"),
        (["model=hf/no/such"], r"not in the cache .*\n.*hf download no/such config.json"),
        (["model=hf/./no_such"], "no such folder"),
        (["model=hf/gemma3"], "made of several networks"),
        (["model=hf/llama", "task=masked_lm"], "hf/llama has no head for masked_lm: transformers gives it causal_lm"),
        (["model=hf/distilbert"], r"no head for causal_lm.*\nUse task=masked_lm"),
        (["model=hf/llama", "model.config.hidden_sise=3"], "Did you mean model.config.hidden_size"),
        (["model=hf/llama", "model.config.hidden_size=wide"], "model.config.hidden_size=wide: expected"),
        (["model=hf/gpt2", "model.config.n_positions=16"], r"a sample has 32 tokens"),
        (["model=hf/gpt2", "model.config.n_embd=30"], "can't be built with these sizes"),
        (["model=hf/encodec"], "transformers has no"),
    ],
)
def test_what_does_not_fit_is_one_error_with_the_way_out(overrides: list[str], message: str) -> None:
    text = TEXT if any("hf/" in word for word in overrides) else ()
    kind = MissingError if "no/such" in overrides[0] else ConfigError
    with pytest.raises(kind) as caught:
        assemble(config.load([*QUICK, *overrides, *text]))
    assert re.search(message, str(caught.value)), str(caught.value)


def test_a_folder_s_configuration_is_part_of_the_run(tmp_path: Path) -> None:
    def loaded(**values: int) -> config.RunConfig:
        (tmp_path / "config.json").write_text(json.dumps({**LM, **values}))
        return config.load([f"model=hf/{tmp_path}", *QUICK, *TEXT])

    first, wider = loaded(), loaded(hidden_size=96)
    assert first.run_id == loaded().run_id != wider.run_id
    assert (wider.model.settings["config"]["hidden_size"], wider.model.settings["config"]["vocab_size"]) == (96, None)
    network = assemble(loaded(hidden_size=96)).task.players["model"]
    assert network.get_parameter("network.model.layers.0.mlp.up_proj.weight").shape[1] == 96


@pytest.mark.parametrize(
    "chosen", [["model=timm/resnet10t", "data=digits"], ["model=hf/llama", "optimizer=muon", *TEXT]]
)
def test_a_library_s_model_trains(chosen: list[str], quick_run: Callable[..., FinishedRun]) -> None:
    ended = quick_run(*QUICK, *chosen, *(["data=pydocs"] if TEXT[0] in chosen else []))
    assert ended.result["status"] == "completed", ended.result["reason"]


@pytest.mark.slow
def test_every_name_of_timm_can_be_described() -> None:
    import timm

    from optbench.models.libraries.timm import describe

    settings = {name: describe(name)["about"]["valid"].keys() for name in timm.list_models()}
    assert len(settings) > 1000
    assert [name for name, keys in settings.items() if all(key.startswith("roles.") for key in keys)] == []
