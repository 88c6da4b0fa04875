"""Arguments from Python as overrides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import optbench
from optbench import config
from optbench.api.words import given_words, text_of, words_of
from optbench.config.overrides import parse_one
from optbench.config.study_overrides import parse_sweep
from optbench.errors import ConfigError, OptbenchError

TEXTS = [
    "lion",
    "a,b",
    "it's",
    "both ' and \"",
    "a=b",
    "x: y",
    "{a}",
    "[1",
    "null",
    "true",
    "1e-3",
    "007",
    "",
    " x ",
    "é",
]
TEXTS += ["a\\", "\\'", "a\nb", "$HOME", "a;b#c", "interval(0,1)", "./my opt.py", "~/data", "%", "(", "tab\there"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_read_back_as_it_was(text: str) -> None:
    assert parse_one(f"data_dir={text_of('data_dir', text)}").value == text


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (3e-4, 3e-4),
        (1e-30, 1e-30),
        (math.inf, math.inf),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(False), False),
        (torch.tensor(2), 2),
        (np.array([0.5, 1.0]), [0.5, 1.0]),
        ((0.9, 0.99), [0.9, 0.99]),
        (["a,b", None, [1]], ["a,b", None, [1]]),
        (Path("x y"), "x y"),
        ([], []),
    ],
)
def test_values_are_read_back(value: Any, read: object) -> None:
    assert parse_one(f"key={text_of('key', value)}").value == read


@pytest.mark.parametrize(
    ("overrides", "keywords", "words"),
    [
        ("optimizer=lion model=mlp", {}, ["optimizer=lion", "model=mlp"]),
        ("data_dir='a b'", {}, ["data_dir=a b"]),
        (["optimizer=lion"], {"steps": 10}, ["optimizer=lion", "steps=10"]),
        ({"optimizer.lr": 3e-4}, {"optimizer": "lion"}, ["optimizer.lr=0.0003", "optimizer=lion"]),
        ({"optimizer": {"lr": 1, "betas": (0.9, 0.99)}}, {}, ["optimizer.lr=1", "optimizer.betas=[0.9,0.99]"]),
        ((), {"optimizer": "./my opt.py:A", "target": None}, ["optimizer=./my opt.py:A", "target=null"]),
        ("script=./t.py -- --epochs 3", {}, ["script=./t.py", "script.args=--epochs 3"]),
    ],
)
def test_forms_of_arguments(overrides: Any, keywords: dict[str, Any], words: list[str]) -> None:
    assert words_of(overrides, keywords, optbench.run, None) == words


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"optimizer": ["lion", "adamw"]}, ["optimizer=lion,adamw"]),
        ({"optimizer": ["lion"], "model": "mlp"}, ["optimizer=lion", "model=mlp"]),
        ({"optimizer": ["./a.py:A", "lion"]}, ["optimizer=./a.py:A,lion"]),
        ({"data_dir": ["a,b", "c"]}, ["data_dir='a,b',c"]),
    ],
)
def test_a_list_is_a_comparison_in_a_sweep(keywords: dict[str, Any], words: Sequence[str]) -> None:
    found = words_of((), keywords, optbench.sweep, None, sweeps=True)
    assert [word.replace('"', "'") for word in found] == list(words)


def test_an_interval_is_searched_and_tuples_are_values() -> None:
    given = {"optimizer.lr": "tag(log,interval(1e-5,1e-2))", "optimizer.betas": [(0.9, 0.99), (0.8, 0.9)]}
    parsed = parse_sweep(words_of(given, {"optimizer": "lion"}, optbench.sweep, None, sweeps=True))
    assert [(d.key, d.low, d.high, d.log) for d in parsed.dimensions] == [("optimizer.lr", 1e-5, 1e-2, True)]
    assert [(axis.key, axis.values) for axis in parsed.axes] == [("optimizer.betas", ("[0.9,0.99]", "[0.8,0.9]"))]


class MyOpt:
    """A class given where its path is meant."""


BAD = [
    (((), {"optimzer": "lion"}), "optimzer=lion: there is no key", "Did you mean optimizer?"),
    (((), {"reslts_dir": "x"}), "reslts_dir=x: there is no key", "Did you mean results_dir?"),
    (((), {"optimizer": MyOpt}), "type cannot be a value", "./FILE.py:MyOpt"),
    (((), {"steps": {1, 2}}), "set cannot be a value", ""),
    (((), {"steps": 1j}), "complex cannot be a value", ""),
    (("optimizer=lion --force", {}), "--force: options are keywords in Python", "e.g. optbench.run("),
    (("optimizer='lion", {}), "cannot be split into words", ""),
    ((5, {}), "5: expected text, a list or a mapping", "e.g. optbench.run("),
    ((None, {}), "None: expected text", "e.g. optbench.run("),
    (([5], {}), "5: expected key=value as text", "e.g. optbench.run("),
    (({5: 1}, {}), "5: not a key", ""),
    (({"a=b": 1}, {}), "'a=b': not a key", ""),
    ((["lion"], {}), "'lion' is not an override", "key=value"),
    (((), {"results_dir": 5}), "results_dir=5: expected a path", ""),
    (((), {"results_dir": "a\0b"}), "expected a path", ""),
    (((), {"study": "../x"}), "plain folder name", ""),
    (((), {"study": None}), "plain folder name", ""),
    (((), {"study": 5}), "study=5: expected text", ""),
    (((), {"force": np.array([1, 2])}), "expected True or False", ""),
    (((), {"steps": "many"}), "steps=many: expected a whole number", ""),
]


@pytest.mark.parametrize(("given", "message", "hint"), BAD)
def test_bad_arguments_are_one_error(given: tuple[Any, dict[str, Any]], message: str, hint: str) -> None:
    overrides, keywords = given
    with pytest.raises(ConfigError) as caught:
        optbench.run(overrides, **keywords)
    assert message in caught.value.message and hint in caught.value.hint


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"optimizer": []}, "optimizer=[]: there is nothing to compare"),
        ({"optimizer": "lion", "jobs": "2"}, "--jobs '2': expected a whole number"),
        ({"optimizer": "lion", "per_device": 0}, "--per-device 0: expected at least one"),
        ({"optimizer": "lion", "retry": "faild"}, "--retry: unknown status 'faild'"),
        ({"optimizer": "lion", "retry": 5}, "retry=5: expected words"),
        ({"optimizer": "lion", "trials": "x"}, "trials"),
        ({"optimizer": "lion", "trials": np.array([1, 2])}, "trials"),
        ({"optimizer": "lion", "budgets": [None]}, "budgets"),
        ({"optimizer": "lion", "executor": 5}, "executor=5: expected text"),
        ({"overrides": "\0"}, "expected key=value as text"),
        ({"optimizer": "lion", "budgets": "half"}, "budgets"),
        ({"optimizer": "lion", "trails": 3}, "trails=3: there is no key or option"),
        ({"seed": [1, 2], "optimizer": "lion"}, "a sweep chooses its seeds"),
        ({}, "Nothing to sweep"),
    ],
)
def test_bad_arguments_of_a_sweep(keywords: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        optbench.sweep(**keywords, results_dir=tmp_path)
    assert message in caught.value.message


@pytest.mark.parametrize("function", [optbench.run, optbench.sweep, optbench.check])
def test_no_option_has_the_name_of_a_key(function: Any) -> None:
    import inspect

    from optbench.api.words import known_names

    assert not set(inspect.signature(function).parameters) & set(known_names(None))


def test_a_file_that_trains_while_it_is_imported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("import optbench\nclass A: pass\noptbench.sweep(optimizer='./mine.py:A', model='mlp')\n")
    with pytest.raises(OptbenchError, match=r"optbench.sweep is called while optbench imports ./mine.py:A"):
        config.load(["optimizer=./mine.py:A"])


def test_the_path_of_a_study_file_is_one_word(tmp_path: Path) -> None:
    file = tmp_path / "a folder" / "study.yaml"
    file.parent.mkdir()
    file.touch()
    assert list(given_words(str(file), "sweep", True)) == list(given_words(file, "sweep", True)) == [str(file)]
