"""Files of strangers: none of their code is imported before the user agrees, and none at all where results are read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

sys.path.append(str(Path(__file__).parent.parent / "reports"))
from conftest import Call
from made_runs import write_study

from optbench.config import imports, load
from optbench.errors import ConfigError
from optbench.store.private import cache_folder
from optbench.sweeps.executors.fork_server import preloaded
from optbench.sweeps.study.agreement import Trust, nobody, trusting
from optbench.sweeps.study.study_yaml import read_study_file
from optbench.sweeps.study.trust import NamedCode, code_in_words

EVIL = "from pathlib import Path\nPath('imported').touch()\nMine = 1\n"  # then refused: 1 cannot be called


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder with a module that leaves a mark when it is imported; nothing has been agreed to."""
    (tmp_path / "evil.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OPTBENCH_CACHE_DIR", str(tmp_path / "cache"))
    yield tmp_path
    sys.modules.pop("evil", None)


def study(folder: Path, *words: str, file: str = "study.yaml") -> str:
    (folder / file).write_text(json.dumps({"trials": 2, "seeds": 1, "overrides": ["model=mlp", *words]}))
    return file


IMPORTING = {
    "optimizer=./evil.py:Mine": "./evil.py:Mine (",
    "optimizer=lion,./evil.py:Mine": "./evil.py:Mine (",
    "optimizer='./evil.py:Mine'": "./evil.py:Mine (",
    "optimizer=evil.Mine": "evil.Mine (",
    "+optimizer=evil.Mine": "evil.Mine (",
    "optimizer_d=./evil.py:Mine": "./evil.py:Mine (",
    "model.task.target=os.system": "os.system",
    "model/task/target=os.system": "os.system",
    "model.task={target: os.system}": "os.system",
    "model={task: {target: os.system}}": "os.system",
    "model.task.target=os.system,posix.system": "os.system; posix.system",
    "optimizer.base_optimizer=evil.Mine": "evil.Mine (",
    "optimizer.base_optimizer=torch.optim.SGD": "torch.optim.SGD",
    "optimizer={inner: {base: evil.Mine}}": "evil.Mine (",
    "optimizer.base_optimizer=evil.${seed}": "evil.${seed}",
    "optimizer.base_optimizer='${data.name}.Mine'": "${data.name}.Mine",
    **{f"{group}=evil.Mine": "evil.Mine (" for group in ("model", "data", "task", "schedule", "clip", "init")},
    "data.anything=evil.Mine": "evil.Mine (",
    "model=./e vil.py:Mine": "./e vil.py:Mine",
    "script=./evil.py": "./evil.py",
    "script='bash -c true'": "bash -c true",
    "model.command='bash -c true'": "bash -c true",
    "script.args='--file evil.py'": "--file evil.py",
}
"""Words of a study file, and how the question names their code."""


@pytest.mark.parametrize("word", IMPORTING)
def test_a_study_file_that_names_code_is_not_run_unasked(word: str, here: Path, call: Call) -> None:
    code, _, err = call("sweep", study(here, word), "--dry-run")
    assert code == 2
    assert f"study.yaml would import code: {IMPORTING[word]}" in err
    assert "--trust" in err
    assert not (here / "imported").exists()
    assert not (here / "results").exists()


def test_an_agreement_is_remembered_until_the_code_changes(here: Path, call: Call) -> None:
    file = study(here, "optimizer=./evil.py:Mine")

    def swept(*options: str) -> tuple[bool, bool]:
        """Return (asked, imported)."""
        (here / "imported").unlink(missing_ok=True)
        code, _, err = call("sweep", file, *options)
        assert code == 2
        return "would import code" in err, (here / "imported").exists()

    assert swept() == (True, False)
    assert swept("--trust") == (False, True)
    (here / "evil.py").write_text(EVIL + "# a change\n")
    assert swept() == (True, False)
    assert swept("--trust") == (False, True)
    sys.modules.pop("evil", None)
    (here / "evil.py").write_text(EVIL)  # agreed to before
    study(here, "optimizer=./evil.py:Mine", "steps=7")  # what is no code may change
    assert not swept()[0]
    study(here, "optimizer=./evil.py:Mine", "model.task.target=os.system")
    assert swept() == (True, False)


def code_of(file: Path) -> NamedCode:
    return NamedCode((file,), tuple(code_in_words(read_study_file(file, None)["overrides"])))


def test_the_settings_of_an_installed_function_count(here: Path) -> None:
    words = ["optimizer=./evil.py:Mine", "model.task.target=os.system"]
    for count in (1, 2):
        code = code_of(here / study(here, *words, f"model.task.command={count}"))
        assert not code.is_trusted
        code.remember()
        assert code.is_trusted


def test_the_files_that_a_command_names_count(here: Path) -> None:
    file = here / study(here, "script='python evil.py'")
    code_of(file).remember()
    assert code_of(file).is_trusted
    (here / "evil.py").write_text(EVIL + "# a change\n")
    assert not code_of(file).is_trusted


def test_an_agreement_in_a_folder_of_others_does_not_count(here: Path) -> None:
    code = code_of(here / study(here, "optimizer=./evil.py:Mine"))
    code.remember()
    assert code.is_trusted
    (cache_folder() / "trusted").chmod(0o777)
    assert not code.is_trusted


TARGET, OURS = "about: {target: evil.Mine}", "about: {target: optbench.clipping.NoClip}"
MODIFIER = "k: null\nabout: {switch: k, standard: {k: 5}, target: evil.Mine, rank: 1}"
FILES = {
    "model": ("model=mine", "model/mine.yaml", TARGET),
    "shadowing": ("optimizer=lion", "model/mlp.yaml", TARGET),
    "data": ("data=mine", "data/mine.yaml", TARGET),
    "optimizer": ("optimizer=mine", "optimizer/mine.yaml", TARGET),
    "second": ("optimizer_d=mine", "optimizer/mine.yaml", TARGET),
    "task": ("task=mine", "task/mine.yaml", TARGET),
    "own-task": (
        "model=mine",
        "model/mine.yaml",
        f"task: {{target: evil.Mine}}\n{OURS}",
    ),
    "implementation": (
        "optimizer=mine",
        "optimizer/mine.yaml",
        "impl: a\nlr: 0.1\nabout: {implementations: {a: {target: torch.optim.SGD}, b: {target: evil.Mine}}}",
    ),
    "inner-class": (
        "optimizer=mine",
        "optimizer/mine.yaml",
        "lr: 0.1\nbase: evil.Mine\nabout: {target: torch.optim.SGD, classes: [base]}",
    ),
    "check": (
        "clip=mine",
        "clip/mine.yaml",
        OURS[:-1] + ", check: evil.Mine}",
    ),
    "session": ("clip=mine", "clip/mine.yaml", OURS[:-1] + ", session: evil.Mine}"),
    "modifier": ("lookahead=true", "modifier/lookahead.yaml", MODIFIER),
    "recipe": (
        "optimizer=lion",
        "recipe/mlp-digits-lion.yaml",
        "optimizer: {lr: 0.1}\nmodel: {task: {target: evil.Mine}}",
    ),
    "workload": ("optimizer=lion", "workload/mlp-digits.yaml", "# @package _global_\ninit: evil.Mine"),
    "executor": ("optimizer=lion", "executor/local.yaml", TARGET),
    "protocol": ("optimizer=lion", "protocol/default.yaml", None),
}
"""A study file's word, a file of the configuration folder beside it, and that file's text."""


@pytest.mark.parametrize("case", FILES)
def test_a_study_file_that_chooses_a_file_that_names_code_asks(case: str, here: Path, call: Call) -> None:
    word, name, text = FILES[case]
    file = here / "conf" / name
    file.parent.mkdir(parents=True)
    packaged = Path(__file__).parents[2] / "conf" / name
    file.write_text(
        packaged.read_text().replace("overrides: []", "overrides: [clip=evil.Mine]") if text is None else text
    )
    words = () if case in ("shadowing", "model", "own-task") else ("data=digits",)
    words = ("model=gan", *words) if case == "second" else words
    code, _, err = call("sweep", study(here, *words, word), "--config-dir", "conf")
    assert code == 2
    assert "study.yaml would import code: " in err, err
    assert "evil.Mine" in err
    assert not (here / "imported").exists()
    assert not (here / "results").exists()


def test_nothing_of_a_stranger_is_preloaded(here: Path) -> None:
    (here / "conf" / "clip").mkdir(parents=True)
    (here / "conf" / "clip" / "mine.yaml").write_text(
        "about: {target: optbench.clipping.NoClip, imports: [evil, timm.models]}"
    )
    modules = preloaded([load(["clip=mine"], here / "conf")])
    assert "timm.models" in modules
    assert "evil" not in modules


def test_what_is_loaded_at_last_is_asked_for_whatever_named_it(here: Path) -> None:
    with trusting(here / study(here), ()), pytest.raises(ConfigError, match=r"would import code: evil\.Mine"):
        imports.load("evil.Mine")
    assert imports.load("evil.Mine") == 1


@pytest.mark.parametrize(("answer", "imported"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_the_user_is_asked(
    answer: str, imported: bool, here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda text, **_: asked.append(text) or answer == "y")
    assert call("sweep", study(here, "optimizer=./evil.py:Mine"))[0] == 2
    assert f"./evil.py:Mine ({here / 'evil.py'})" in asked[0]
    assert (here / "imported").exists() == imported


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=lion,adamw",),
        ("optimizer.lr=interval(1e-4,1e-3)",),
        ("optimizer=glob(a*)",),
        ("init='weights-${seed}.pt'", "data.path=table.csv", "model=timm/resnet18", "freeze=[layers.0]"),
        ("init=weights.pt", "optimizer.lr=${seed}"),
    ],
)
def test_a_study_file_without_code_needs_no_agreement(words: tuple[str, ...], here: Path) -> None:
    assert not code_in_words(words)
    Trust(here / study(here), (), False, nobody).require_words(words)


def test_what_is_typed_needs_no_agreement(here: Path, call: Call) -> None:
    assert "cannot be called" in call("sweep", "optimizer=./evil.py:Mine", "model=mlp")[2]
    assert (here / "imported").exists()
    (here / "imported").unlink()
    file = study(here, "optimizer=./other.py:Mine")
    assert "cannot be called" in call("sweep", file, "optimizer=evil.Mine")[2]


def test_a_claim_of_a_stranger_asks_and_one_of_optbench_does_not(here: Path, call: Call) -> None:
    claim = {"measure": "test_metric", "of": "lion", "against": "adamw", "relation": "better"}
    words = ["optimizer=./evil.py:Mine,adamw", "model=mlp"]
    (here / "claims" / "theirs").mkdir(parents=True)
    (here / "claims" / "theirs" / "study.yaml").write_text(json.dumps({"claim": claim, "overrides": words}))
    for options in (["theirs"], ["--all"]):
        code, _, err = call("reproduce", *options, "--experiments-dir", "claims")
        assert code in (2, 3)
        assert "would import code: ./evil.py:Mine" in err
    assert not (here / "imported").exists()
    call("reproduce", "theirs", "--experiments-dir", "claims", "--trust")
    assert (here / "imported").exists()
    for file in (Path(__file__).parents[2] / "experiments").glob("*/study.yaml"):
        with trusting(file, ()) as trust:
            assert trust is None


# -- results -----------------------------------------------------------------------------------------------------------


def planted(root: Path) -> Path:
    """Write the results of a stranger, whose every word names code."""
    made = write_study(
        root, {"lion": [0.8, 0.81, 0.82], "adamw": [0.7, 0.71, 0.72]}, tuning={"lion": [0.8, 0.7], "adamw": [0.7, 0.6]}
    )
    for file in (*made.glob("*/run.json"), made / "study.json"):
        tree: dict[str, Any] = json.loads(file.read_text())
        words = ["optimizer=./evil.py:Mine", "model.task.target=evil.Mine", "data.target=evil.Mine"]
        code = {"name": "./evil.py:Mine", "target": "evil.Mine", "about": {"target": "./evil.py:Mine"}, "lr": 0.1}
        if file.name == "run.json":
            own = {"optimizer": code} if tree["run_id"].startswith("lion") else {}
            tree["config"] |= {**own, "model": {**code, "task": code}, "data": code}
            tree |= {"overrides": words, "algorithm": "evil.Mine", "implementation": "evil.Mine", "task": "evil.Mine"}
        else:
            tree["cells"][0] |= {"label": "./evil.py:Mine", "choices": words[:1]}
            tree["settings"] = {"overrides": words, "protocol": "evil.Mine"}
        file.write_text(json.dumps(tree).replace('"cell": "lion"', '"cell": "./evil.py:Mine"'))
    return made


COMMANDS = (
    ("report", "theirs", "-o", "out"),
    ("report", "theirs/made", "--json"),
    ("compare", "./evil.py:Mine", "adamw", "theirs"),
    ("merge", "theirs", "more", "-o", "all"),
    ("merge", "theirs", "-o", "all", "--move"),
    ("list", "experiments"),
    ("sweep", "optimizer=adamw", "model=mlp", "--study", "made", "--results-dir", "theirs", "--dry-run"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_results_of_a_stranger_run_no_code(words: tuple[str, ...], here: Path, call: Call) -> None:
    shutil.copytree(planted(here / "theirs").parent, here / "more")
    code, out, err = call(*words)
    assert not (here / "imported").exists()
    assert "Traceback" not in err
    assert code == (2 if words[0] == "sweep" else 0), err  # no protocol of that name
    assert "evil" in out + err or words[0] in ("merge", "list")
