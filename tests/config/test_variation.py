"""Varying a configuration gives the same result as loading it with more overrides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optbench import config
from optbench.config import Composition, RunConfig, Variation
from optbench.config.values import as_typed
from optbench.errors import ConfigError

BASES = {
    words[0]: words
    for words in [
        ("optimizer=lion", "model=mlp"),
        ("optimizer=adamw", "model=vit", "lookahead=true", "schedule=wsd", "clip=global_norm"),
        ("optimizer=shampoo", "model=resnet", "ema=true", "cautious=true"),
        ("optimizer=sam", "model=quadratic", "scale_lr=sqrt", "scale_from=64"),
        ("optimizer=nadam", "model=gan", "optimizer_d=sgd"),
    ]
}
VARIATIONS = {name: Variation(Composition(words)) for name, words in BASES.items()}


def loaded(words: tuple[str, ...], values: dict[str, Any]) -> RunConfig:
    return config.load([*words, *(f"{key}={as_typed(value)}" for key, value in values.items())])


def assert_same(varied: RunConfig, words: tuple[str, ...], values: dict[str, Any]) -> None:
    direct = loaded(words, values)
    assert varied.run_id == direct.run_id
    assert varied.as_dict() == direct.as_dict()
    assert varied.overrides == direct.overrides
    assert varied == direct


@st.composite
def a_base_and_values(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw one of the bases and other numbers for some of its keys."""
    name = draw(st.sampled_from(sorted(BASES)))
    tree = config.load(BASES[name]).as_dict()
    groups = ("optimizer", "optimizer_d", "schedule", "clip", "lookahead", "ema", "cautious")
    leaves = {f"{g}.{k}": v for g in groups if g in tree for k, v in tree[g].items() if isinstance(v, float)}
    keys = draw(st.lists(st.sampled_from(sorted(leaves)), unique=True, max_size=4))
    number = st.one_of(st.floats(1e-6, 0.999), st.integers(0, 1), st.sampled_from([1e-20, 0.1, 0.25]))
    values: dict[str, Any] = {key: draw(number) for key in keys}
    if draw(st.booleans()):
        values["seed"] = draw(st.integers(0, 2**32 - 1))
    return name, values


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(a_base_and_values())
def test_varied_equals_loaded(drawn: tuple[str, dict[str, Any]]) -> None:
    name, values = drawn
    words, variation = BASES[name], VARIATIONS[name]
    try:
        direct = loaded(words, values)
    except ConfigError as refused:
        with pytest.raises(ConfigError) as caught:
            variation.at(values)
        assert caught.value.args == refused.args
        assert caught.value.hint == refused.hint
        return
    assert variation.at(values) == direct
    assert variation.at(values).run_id == direct.run_id


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("model=mlp",), {"steps": 7}),  # what is derived from the budget follows: not a plain key
        (("model=mlp",), {"batch_size": 16, "seed": 3}),
        (("model=vit", "scale_lr=sqrt", "scale_from=64"), {"batch_size": 256}),
        (("model=mlp", "optimizer=adamw"), {"optimizer.betas": [0.8, 0.9]}),
        (("model=mlp", "optimizer=adamw"), {"optimizer.impl": "torch"}),
        (("model=vit",), {"model.size": "small", "optimizer.lr": 0.1}),
        (("model=mlp",), {"lookahead.k": 3}),
        (("model=mlp", "lookahead=true"), {"lookahead.k": 3.0}),  # a whole number is one however it is written
        (("model=mlp", "optimizer=lion"), {"optimizer.lr": 1}),
        (("model=mlp",), {}),
    ],
)
def test_keys_of_every_kind(words: tuple[str, ...], values: dict[str, Any]) -> None:
    assert_same(Variation(Composition(words)).at(values), words, values)


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer.lr": -1.0},
        {"optimizer.lr": float("inf")},
        {"optimizer.lr": "big"},
        {"optimizer.betas": 0.9},
        {"optimizer.betas": [0.9]},
        {"optimizer.lrr": 0.1},
        {"seed": -1},
        {"seed": 1.5},
        {"no_such_key": 1},
        {"lookahead.k": 2.5},
    ],
)
def test_an_invalid_value_gives_the_error_of_load(values: dict[str, Any]) -> None:
    words = ("model=mlp", "optimizer=lion", "lookahead=true")
    with pytest.raises(ConfigError) as expected:
        loaded(words, values)
    with pytest.raises(ConfigError) as caught:
        Variation(Composition(words)).at(values)
    assert caught.value.args == expected.value.args


def test_the_base_is_unchanged() -> None:
    variation = Variation(Composition(["optimizer=lion", "model=mlp", "lookahead=true"]))
    before = variation.base.as_dict()
    variation.at({"optimizer.lr": 0.123, "lookahead.k": 9, "seed": 4})
    assert variation.base.as_dict() == before


def test_the_users_folder_is_used_both_ways(tmp_path: Any) -> None:
    (tmp_path / "optimizer").mkdir()
    text = (config.packaged_folder() / "optimizer" / "lion.yaml").read_text()
    (tmp_path / "optimizer" / "lion.yaml").write_text(text.replace("weight_decay:", "weight_decay: 0.125 #", 1))
    variation = Variation(Composition(["optimizer=lion", "model=mlp"], tmp_path))
    for values in ({"optimizer.lr": 0.5}, {"steps": 9}):
        assert variation.at(values).optimizer.settings["weight_decay"] == 0.125
