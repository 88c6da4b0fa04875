"""`optbench new`: templates that run at once, and names that are refused."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import pytest
from conftest import Call

from optbench.cli.new import KINDS, class_name, complete_kind, template
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.start import asked_study

QUICK = ["steps=6", "tracker=none", "threads=1"]
FILES = [kind for kind, form in KINDS.items() if form.endswith(".py")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands_of(call: Call, *words: object) -> list[list[str]]:
    """Write a template; the commands that it prints, without the program."""
    code, out, err = call("new", *words, "--json")
    assert code == 0, err
    return [shlex.split(command)[1:] for command in json.loads(out)["commands"]]


@pytest.mark.parametrize("kind", FILES)
def test_the_first_command_runs(kind: str, call: Call) -> None:
    first = commands_of(call, kind, f"fresh_{kind}")[0]
    assert first[0] == "run"
    code, _, err = call(*[word for word in first if not word.startswith("steps=")], *QUICK)
    assert code == 0, err


@pytest.mark.parametrize("kind", KINDS)
def test_every_sweep_can_be_planned(kind: str, call: Call) -> None:
    for command in commands_of(call, kind, f"fresh_{kind}"):
        if command[0] == "sweep" and "--dry-run" not in command:
            options = command[1 : command.index("--trials")] if "--trials" in command else command[1:]
            study, cells = asked_study(options, {"trials": 4, "seeds": 3}, SweepOptions())
            assert study.trials == 4 and len(cells) == 2 and all(len(cell.box) for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_works(kind: str, call: Call) -> None:
    for command in commands_of(call, kind, f"fresh_{kind}"):
        code, _, err = call(*command)
        assert code == 0, err


@pytest.mark.parametrize(("kind", "most"), [("model", 15), ("data", 10)])
def test_a_template_is_short(kind: str, most: int) -> None:
    tree = ast.parse(template(kind, "x"))
    docs = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = template(kind, "x").splitlines()
    assert sum(bool(line.strip()) for number, line in enumerate(lines, 1) if number not in docs) <= most


def test_the_name_is_put_in(call: Call, here: Path) -> None:
    assert commands_of(call, "model", "wide_net")[0][1] == "model=./wide_net.py:WideNet"
    assert "class WideNet(nn.Module)" in (here / "wide_net.py").read_text()
    assert [class_name(name) for name in ("my_opt", "MyOpt", "opt2", "_x", "_")] == ["MyOpt", "MyOpt", "Opt2", "X", "_"]
    assert all("my_name" not in template(kind, "x") and "MyName" not in template(kind, "x") for kind in KINDS)


def test_nothing_is_overwritten_unasked(call: Call, here: Path) -> None:
    file = here / "mine.py"
    file.write_text("precious")
    code, _, err = call("new", "data", "mine")
    assert code == 2 and "mine.py exists" in err and "--force" in err and file.read_text() == "precious"
    assert call("new", "data", "mine", "--force")[0] == 0 and "def mine(" in file.read_text()
    (here / "linked.py").symlink_to(here / "nowhere")
    assert call("new", "data", "linked")[0] == 2
    (here / "elsewhere").mkdir()
    (here / "plan").symlink_to("elsewhere")
    assert call("new", "study", "plan")[0] == 2 and not any((here / "elsewhere").iterdir())
    (here / "folder.py").mkdir()
    assert call("new", "data", "folder", "--force")[0] == 2


def test_into_another_folder(call: Call, here: Path) -> None:
    first = commands_of(call, "optimizer", "mine", "--folder", "some where")[0]
    assert first[1] == "optimizer=./some where/mine.py:Mine" and (here / "some where" / "mine.py").is_file()
    code, _, err = call(*[word for word in first if not word.startswith("steps=")], *QUICK)
    assert code == 0, err
    assert commands_of(call, "study", "plan", "--folder", here / "b")[1] == ["sweep", f"{here}/b/plan/study.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimiser", "x"], "Did you mean optimizer?"),
        (["optimizer", "my-opt"], "e.g. my_opt"),
        (["optimizer", "../x"], "e.g. x"),
        (["optimizer", "/tmp/x.py"], "e.g. x"),
        (["optimizer", "2x"], "e.g. my_2x"),
        (["optimizer", ""], "e.g. optbench new optimizer mine"),
        ([], "KIND is one of optimizer, model"),
        (["optimizer", "class"], "e.g. my_class"),
        (["study", ".."], "e.g. my_own"),
        (["optimizer", "é"], "e.g. my_own"),
        (["optimizer", "torch"], "would hide the module torch"),
        (["data", "random"], "e.g. my_random"),
        (["data", "x" * 300], "File name too long"),
    ],
)
def test_bad_names(words: list[str], message: str, call: Call, here: Path) -> None:
    code, _, err = call("new", *words)
    assert code == 2 and message in err and not any(here.iterdir())


def test_kinds_are_completed() -> None:
    assert complete_kind("s") == ["schedule", "script", "study"] and complete_kind("") == list(KINDS)
