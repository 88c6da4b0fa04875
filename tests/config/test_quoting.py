"""Names as people have them: with spaces, commas, quotes, other scripts, too long. What a message advises works."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Call

from optbench import config
from optbench.errors import ConfigError
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.study import make_study

MINE = "import torch\n\nclass Mine(torch.optim.SGD):\n    pass\n"
NAMES = [
    "a dir",
    "a, b",
    "ü",
    "a=b",
    "a#b",
    "a:b",
    "a'b",
    'a"b',
    "a(b",
    "a[b]",
    "a\\b",
    "ab\\",
    "~b",
    "$HOME",
    "%",
    "b'\"",
]


def pasted(hint: str) -> str:
    """The override that a hint advises, as a shell reads it."""
    word = shlex.split(re.split(r"Quote the value: |for one value: |or all as one: ", hint)[-1])
    assert len(word) == 1, hint
    return word[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["data_dir", "wandb_project"])
def test_advice_on_quoting_works_when_pasted(key: str, name: str) -> None:
    try:
        value = getattr(config.load([f"{key}={name}"]), key)
    except ConfigError as error:
        if "is missing" in error.hint:  # an open bracket: quoting helps as well, but a missing end is likelier
            return
        value = getattr(config.load([pasted(error.hint)]), key)
    assert value == name


@pytest.mark.parametrize("key", ["optimizer", "model", "clip", "schedule", "lookahead", "data.path", "optimizer.impl"])
def test_advice_is_given_for_every_kind_of_key(key: str) -> None:
    words = ["data=imagefolder"] if key == "data.path" else []
    with pytest.raises(ConfigError) as caught:
        config.load([*words, f"{key}=mü x"])
    advised = pasted(caught.value.hint)
    assert advised == f'{key}="mü x"'
    try:
        config.load([*words, advised])
    except ConfigError as error:
        assert "cannot be read" not in str(error)
    else:
        assert key == "data.path"


@pytest.mark.parametrize("name", [name for name in NAMES if "$" not in name])
@pytest.mark.parametrize("second", [False, True])
def test_an_import_path_may_be_quoted(tmp_path: Path, name: str, second: bool) -> None:
    (tmp_path / name).mkdir()
    path = f"{tmp_path / name}/mine.py:Mine"
    Path(path.rpartition(":")[0]).write_text(MINE)
    from optbench.config.overrides import in_quotes

    words = ["model=gan", f"optimizer_d={in_quotes(path)}"] if second else [f"optimizer={in_quotes(path)}"]
    loaded = config.load(words)
    optimizer = loaded.optimizer_d if second else loaded.optimizer
    assert optimizer is not None
    assert optimizer.target == path


def test_a_sweep_compares_quoted_paths(tmp_path: Path) -> None:
    file = tmp_path / "a, b" / "mine.py"
    file.parent.mkdir()
    file.write_text(MINE)
    words = [f'optimizer="{file}:Mine",adamw', "model=mlp"]
    cells = planned(make_study(words, {"allow_unequal": True}))[1]
    assert [cell.label for cell in cells] == [f"{file}:Mine", "adamw"]
    study = tmp_path / "study.yaml"
    study.write_text(f"overrides: ['{words[0]}', model=mlp]\nallow_unequal: true\n")
    assert [cell.label for cell in planned(make_study([], {}, file=study))[1]] == [cell.label for cell in cells]
    with pytest.raises(ConfigError) as caught:
        make_study([f"optimizer={tmp_path}/ü.py:Mine,adamw"], {})
    assert f"Quote each value: 'optimizer=\"{tmp_path}/ü.py:Mine\",adamw'" in caught.value.hint


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        [f"optimizer={LONG}"],
        [f"optimizer=./{LONG}.py:Mine"],
        [f"optimizer={'./ab' * 2000}.py:Mine"],
        [f"optimizer={LONG}.Mine"],
        [f"model={LONG}"],
        [f"{LONG}=1"],
        [f"optimizer.{LONG}=1"],
        [f"model.task.target=./{LONG}.py"],
    ],
)
def test_an_over_long_name_is_one_short_error(words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(words)
    assert len(str(caught.value)) < 1000
    assert len(str(caught.value).splitlines()) <= 2


def test_an_over_long_path_of_data_and_of_folders_is_no_traceback(tmp_path: Path) -> None:
    assert config.load(["data=imagefolder", f"data.path={LONG}"]).run_id
    with pytest.raises(ConfigError, match="no such folder"):
        config.load([], tmp_path / LONG)
    with pytest.raises(ConfigError, match="no such study file"):
        make_study([], {}, file=tmp_path / LONG)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--study", LONG],
        ["run", "--results-dir", f"/tmp/{LONG}"],
        ["sweep", "--study", LONG, "model=mlp"],
        ["report", LONG],
        ["reproduce", "--experiments-dir", LONG, "tiny"],
        ["list", "--config-dir", LONG],
    ],
    ids=lambda words: words[0],
)
def test_an_over_long_option_is_one_error(call: Call, words: list[str]) -> None:
    code, _, said = call(*words)
    assert code in (2, 5)
    assert len(said.splitlines()) <= 2


def test_a_run_id_fits_a_file_name_whatever_the_names_are() -> None:
    base = config.load([])
    long = replace(base, model=replace(base.model, name="mä" * 100), data=replace(base.data, name="d" * 200))
    assert len(long.run_id.encode()) <= 230
    assert long.run_id.startswith("mämä")
    assert long.run_id != replace(long, data=replace(long.data, name="d" * 201)).run_id
    assert base.run_id.startswith("vit-digits-adamw-s0-")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("range(0,1e9)", "1,000,000,000 values; a key has at most 10,000"),
        ("shuffle(range(0,1e9))", "1,000,000,000 values"),
        ("tag(log,range(0,1,1e-9))", "1,000,000,000 values"),
        ("range(0,inf)", "values without end"),
        ("range(0,1e400)", "values without end"),
        (f"range(0,{10**400})", "values without end"),
        ("range(0,1,0)", "nothing to choose from"),
        ("range(0,1,-1)", "nothing to choose from"),
        ("range(5,1)", "nothing to choose from"),
        ("range(0,nan)", "nothing to choose from"),
        ("interval(nan,1)", "two finite bounds"),
        ("interval(0,inf)", "two finite bounds"),
        ("interval(1,0)", "Say interval(0,1)"),
        ("sort(interval(0,1))", "cannot be read"),
        ("choice(range(0,3),5)", "cannot be read"),
    ],
)
def test_values_are_counted_before_they_are_listed(values: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse_sweep([f"optimizer.lr={values}"])
    assert expected in str(caught.value)


def test_the_cells_of_a_study_are_counted_before_they_are_composed() -> None:
    with pytest.raises(ConfigError, match="200 batch_size x 60 steps: 12,000 combinations"):
        planned(make_study(["batch_size=range(1,201)", "steps=range(1,61)"], {"name": "s"}))


@pytest.mark.parametrize("path", ["/", "/../", "/proc", "/dev/../sys"])
def test_a_folder_of_the_system_is_no_data_set(path: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.path=.*: is a folder of the system"):
        config.load(["model=mlp", "data=imagefolder", f"data.path={path}"])
