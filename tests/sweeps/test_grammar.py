"""The overrides of a sweep: what is fixed, what is compared, what is searched, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.config import Axis, Dimension, dimension_of_spec, parse_sweep
from optbench.errors import ConfigError


def only_axis(text: str) -> Axis:
    asked = parse_sweep([text])
    assert not asked.fixed
    assert not asked.dimensions
    (axis,) = asked.axes
    return axis


def only_dimension(text: str) -> Dimension:
    asked = parse_sweep([text])
    assert not asked.fixed
    assert not asked.axes
    (dimension,) = asked.dimensions
    return dimension


# -- what is compared --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("optimizer=lion,adamw", "optimizer", ("lion", "adamw")),
        ("model=choice(mlp,vit)", "model", ("mlp", "vit")),
        ("batch_size=32,64", "batch_size", ("32", "64")),  # numbers, but no hyperparameters
        ("batch_size=range(32,128,32)", "batch_size", ("32", "64", "96")),
        ("model.size=tiny,base", "model.size", ("tiny", "base")),
        ("optimizer.impl=torch,optbench", "optimizer.impl", ("torch", "optbench")),
        ("optimizer.lr=null,0.1", "optimizer.lr", ("null", "0.1")),
        ("optimizer.betas=[0.9,0.99],[0.8,0.9]", "optimizer.betas", ("[0.9,0.99]", "[0.8,0.9]")),
        ("optimizer.lr=tag(compare,choice(1e-3,1e-2))", "optimizer.lr", ("0.001", "0.01")),
        ("lookahead=true,false", "lookahead", ("true", "false")),
        ("+model.width=8,16", "model.width", ("8", "16")),
    ],
)
def test_what_is_compared(text: str, key: str, values: tuple[str, ...]) -> None:
    assert only_axis(text) == Axis(key, values)


def test_a_pattern_takes_the_files_of_a_group() -> None:
    known = config.options([config.packaged_folder()], "optimizer")
    assert only_axis("optimizer=glob(sophia*)").values == ("sophia_g", "sophia_h")
    assert only_axis("optimizer=glob(*,exclude=s*)").values == tuple(name for name in known if name[0] != "s")


def test_a_pattern_sees_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "lion_mine.yaml").write_text("lr: 1.0\n")
    (axis,) = parse_sweep(["optimizer=glob(lion*)"], tmp_path).axes
    assert set(axis.values) == {"lion", "lion_mine"}


def test_an_optimizer_in_a_file_alone_or_in_a_choice() -> None:
    assert parse_sweep(["optimizer=./mine.py:Mine"]).fixed == ("optimizer=./mine.py:Mine",)
    assert len(only_axis("optimizer=./mine.py:Mine,lion").values) == 2


# -- what is searched --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer.lr=interval(1e-5,1e-2)", Dimension("optimizer.lr", 1e-5, 1e-2)),
        ("optimizer.lr=tag(log,interval(1e-5,1e-2))", Dimension("optimizer.lr", 1e-5, 1e-2, log=True)),
        ("lookahead.k=int(interval(2,8))", Dimension("lookahead.k", 2.0, 8.0, integer=True)),
        ("schedule.warmup=interval(0,0.5)", Dimension("schedule.warmup", 0.0, 0.5)),
        ("optimizer.lr=1e-2,1e-3", Dimension("optimizer.lr", values=(0.001, 0.01))),  # sorted: a grid has an order
        ("optimizer.lr=range(1,4)", Dimension("optimizer.lr", values=(1, 2, 3))),
        ("lookahead.k=5,10", Dimension("lookahead.k", values=(5, 10))),
        ("clip.max_norm=1,5", Dimension("clip.max_norm", values=(1, 5))),
        ("optimizer_d.lr=0.1,0.2", Dimension("optimizer_d.lr", values=(0.1, 0.2))),
    ],
)
def test_what_is_searched(text: str, expected: Dimension) -> None:
    found = only_dimension(text)
    assert repr(found) == repr(expected)  # nan bounds of a list are not equal to themselves


# -- what is fixed -----------------------------------------------------------------------------------------------------


def test_quotes_keep_a_comma_from_being_a_choice() -> None:
    assert parse_sweep(["wandb_project='a,b'", "optimizer.betas=[0.9,0.99]"]).fixed == (
        "wandb_project='a,b'",
        "optimizer.betas=[0.9,0.99]",
    )


def test_the_last_override_of_a_key_wins() -> None:
    asked = parse_sweep(["optimizer=lion,adamw", "optimizer.lr=1", "steps=5", "optimizer=sgd", "optimizer.lr=1,2"])
    assert asked.fixed == ("steps=5", "optimizer=sgd")
    assert [d.key for d in asked.dimensions] == ["optimizer.lr"]
    assert not parse_sweep(["optimizer.lr=interval(0,1)", "+optimizer.lr=0.5"]).dimensions


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("optimizer.lr=interval(1,1)", "the bounds are equal", "To fix the value: optimizer.lr=1"),
        ("optimizer.lr=interval(2,1)", "the lower bound is the larger one", "Say interval(1,2)"),
        ("optimizer.lr=interval(0,inf)", "an interval needs two finite bounds", ""),
        ("optimizer.lr=interval(nan,1)", "an interval needs two finite bounds", ""),
        ("optimizer.lr=tag(log,interval(0,1))", "a logarithmic interval must be above zero", "Start at"),
        ("optimizer.lr=tag(log,interval(-1,1))", "a logarithmic interval must be above zero", "Start at"),
        ("optimizer.lr=tag(lg,interval(1,2))", "unknown tag 'lg'", "Did you mean log?"),
        ("optimizer.lr=tag(compar,choice(1,2))", "unknown tag 'compar'", "Did you mean compare?"),
        ("optimizer.lr=tag(compare,interval(1,2))", "an interval is searched and cannot be compared", ""),
        ("optimizer=lion,adamw,lion", "a value is given twice", ""),
        ("optimizer.lr=0.1,1e-1", "a value is given twice", ""),
        ("seed=1,2", "a sweep chooses its seeds", "Say how many: --seeds 5"),
        ("seed=interval(1,2)", "a sweep chooses its seeds", "Say how many: --seeds 5"),
        ("optimizer=glob(nothing*)", "there is nothing to choose from", ""),
        ("steps=glob(1*)", "glob() chooses files of a group, and 'steps' is not a group", ""),
        ("optimizer.lr=interval(a,b)", "cannot be read", ""),
        ("optimizer.lr=interval(1)", "cannot be read", ""),
    ],
)
def test_a_mistake_is_one_line_with_its_text_and_a_hint(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sweep([text])
    assert str(caught.value.args[0]).startswith(f"{text}: {message}")
    assert "\n" not in caught.value.args[0]
    assert hint in caught.value.hint


# -- intervals in files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("log [1e-5, 1e-2]", Dimension("k", 1e-5, 1e-2, log=True)),
        ("[0, 1]", Dimension("k", 0.0, 1.0)),
        ("int [1, 8]", Dimension("k", 1.0, 8.0, integer=True)),
        ("log int [1, 64]", Dimension("k", 1.0, 64.0, log=True, integer=True)),
    ],
)
def test_an_interval_in_the_syntax_of_files(spec: str, expected: Dimension) -> None:
    assert repr(dimension_of_spec("k", spec)) == repr(expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("0.1", "not an interval"),
        ("lg [1, 2]", "not an interval"),
        ("[1, 2, 3]", "not an interval"),
        ("log [1, 2", "not an interval"),
        ("[a, b]", "its bounds are not numbers"),
        ("[1, 1]", "the bounds are equal"),
        ("[2, 1]", "the lower bound is the larger one"),
        ("log [0, 1]", "a logarithmic interval must be above zero"),
        ("[0, inf]", "an interval needs two finite bounds"),
        ("int [1.5, 3]", "an interval of whole numbers needs whole bounds"),
    ],
)
def test_a_mistake_in_a_file_names_its_key(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dimension_of_spec("lion.lr", spec)
    assert caught.value.args[0] == f'lion.lr: "{spec}": {message}'
