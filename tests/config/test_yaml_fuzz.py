"""Mangled YAML files of every kind: a run or a study, or one error that names the file's trouble; no traceback."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from optbench import config
from optbench.config.yaml_reader import load_yaml
from optbench.errors import OptbenchError
from optbench.sweeps.executors.registry import choose
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.study import make_study

ODD: list[Any] = [
    None,
    [],
    {},
    3,
    -1,
    0,
    1.5,
    "x",
    True,
    [1, [2]],
    {"a": {"b": 1}},
    {"": 1},
    {"target": "x"},
    "",
    "???",
]
ODD += ["${seed}", "${nope}", float("inf"), float("nan"), 10**30, "a\0b", "ü", "interval(0,1)", "y" * 300, "a.b", ["a"]]
ODD += ["os.system", "none", "log [1, 2]", "(0, 1", "~x", "optbench.clipping.AGC"]
KEYS: list[Any] = [
    "",
    "a.b",
    "about",
    "target",
    3,
    None,
    "\x07",
    "${seed}",
    "lr",
    "x" * 300,
    "impl",
    "name",
    "defaults",
]
KEYS += ["valid", "implementations", "seed", "optimizer", "steps", True]
FILES = {
    "optimizer/adamw": ["optimizer=adamw"],
    "optimizer/sam": ["optimizer=sam"],
    "model/vit": ["model=vit"],
    "model/gan": ["model=gan"],
    "data/digits": ["data=digits"],
    "data/imagefolder": ["data=imagefolder"],
    "schedule/cosine": [],
    "clip/value": ["clip=value"],
    "modifier/lookahead": ["lookahead=true"],
    "workload/vit-digits": [],
    "recipe/gan-digits-adamw": ["model=gan"],
    "target/vit-digits": ["stop_at_target=true"],
    "protocol/default": [],
    "protocol/classic": [],
    "executor/local": [],
    "study/study": [],
}
STUDY = {
    "study": "s",
    "protocol": "default",
    "trials": 4,
    "overrides": ["optimizer=lion,adamw", "model=mlp", "steps=10"],
    "boxes": {"lion": {"lr": "log [1e-5, 1e-3]"}},
    "claim": {"measure": "test_metric", "of": "lion", "against": "adamw", "relation": "better", "margin": 0.1},
    "scales": {"tiny": {"trials": 2, "overrides": ["steps=5"]}},
    "budgets": [0.5, 1],
}


def paths(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every node of a tree."""
    yield at
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree if isinstance(tree, list) else ()):
        yield from paths(value, (*at, key))


def mangled(tree: Any, chance: random.Random) -> str:
    """Return the YAML of a tree with a node replaced, deleted, wrapped or added, and at times a few characters."""
    for _ in range(chance.randint(1, 2)):
        *path, last = chance.choice([way for way in paths(tree) if way])
        node = tree
        for key in path:
            node = node[key]
        kind = chance.random()
        if kind < 0.55:
            node[last] = copy.deepcopy(chance.choice(ODD))
        elif kind < 0.75 and len(tree) > 1:
            del node[last]
        elif isinstance(node[last], dict):
            node[last][chance.choice(KEYS)] = copy.deepcopy(chance.choice(ODD))
        else:
            node[last] = [node[last]]
    text = yaml.safe_dump(tree, allow_unicode=True)
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice("\t\0:-[]{}*&!|>'\"#%@`, \n${}ü\x07") + text[at + chance.randint(0, 2) :]
    return text


def use(name: str, file: Path, folder: Path) -> None:
    """Do what a command does with the file."""
    group = name.partition("/")[0]
    words = ["optimizer=lion,adamw", "model=mlp", "steps=10"]
    if group == "study":
        planned(make_study([], {}, file=file))
    elif group == "protocol":
        planned(make_study(words, {}, protocol=file.stem, config_dir=folder), folder)
    elif group == "executor":
        choose("local", folder)
    else:
        composition = config.Composition(FILES[name], folder)
        loaded = composition.run_config()
        assert loaded.run_id
        for key in config.flatten(loaded.as_dict()):
            assert composition.origin(key)


def check(seed: int, folder: Path) -> None:
    """Check one mangled file."""
    chance = random.Random(seed)
    name = chance.choice(list(FILES))
    group, stem = name.split("/")
    tree = STUDY if group == "study" else load_yaml(config.packaged_folder() / group / f"{stem}.yaml")
    text = mangled(copy.deepcopy(tree), chance)
    file = folder / group / f"{stem}.yaml"
    shutil.rmtree(folder / group, ignore_errors=True)
    file.parent.mkdir()
    file.write_text(("# @package _global_\n" if group in ("workload", "recipe") else "") + text)
    try:
        use(name, file, folder)
    except OptbenchError as error:
        assert error.exit_code in (2, 4), (seed, error)
        assert len(str(error)) < 1000, (seed, error)
        assert len(str(error).splitlines()) <= 3, (seed, error)
        assert str(error).replace("\n", "").isprintable(), (seed, error)
    except Exception as error:
        raise AssertionError(f"seed {seed}, {name}: {type(error).__name__}: {error}") from error
    shutil.rmtree(folder / group)


def test_no_yaml_gives_a_traceback(tmp_path: Path) -> None:
    for seed in range(80):
        check(seed, tmp_path)


@pytest.mark.slow
def test_no_yaml_of_many_gives_a_traceback(tmp_path: Path) -> None:
    for seed in range(1000, 4000):
        check(seed, tmp_path)
