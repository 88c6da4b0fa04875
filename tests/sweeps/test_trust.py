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

from optbench.store.private import cache_folder
from optbench.sweeps.study.trust import NamedCode, named_code

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
}


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


def test_the_settings_of_an_installed_function_count(here: Path) -> None:
    words = ["optimizer=./evil.py:Mine", "model.task.target=os.system"]
    found: list[NamedCode | None] = []
    for count in (1, 2):
        file = here / study(here, *words, f"model.task.command={count}")
        found.append(named_code(file, None, ()))
        assert found[-1] is not None and not found[-1].is_trusted
        found[-1].remember()
        assert found[-1].is_trusted


def test_an_agreement_in_a_folder_of_others_does_not_count(here: Path) -> None:
    code = named_code(here / study(here, "optimizer=./evil.py:Mine"), None, ())
    assert code is not None
    code.remember()
    assert code.is_trusted
    (cache_folder() / "trusted").chmod(0o777)
    assert not code.is_trusted


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
    "words", [("optimizer=lion,adamw",), ("optimizer.lr=interval(1e-4,1e-3)",), ("optimizer=glob(a*)",)]
)
def test_a_study_file_without_code_needs_no_agreement(words: tuple[str, ...], here: Path) -> None:
    assert named_code(here / study(here, *words), None, ()) is None


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
    shipped = Path(__file__).parents[2] / "experiments"
    assert all(named_code(file, None, ()) is None for file in shipped.glob("*/study.yaml"))


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
