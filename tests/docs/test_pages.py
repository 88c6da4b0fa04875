"""The documentation: its commands parse, generated pages are those of the code, nothing is left unexplained."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from optbench import config
from optbench.cli.app import app
from optbench.config.about import FORMS, OPTIMIZER_FACTS
from optbench.errors import OptbenchError

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OWN = re.compile(r"\./|package\.|\bmine\b|photos|\$\{|glob\(|vocab\.txt|weights\.pt")
"""Words of a command that stand for files of the reader, which nobody has."""


def commands(page: Path) -> list[str]:
    """Return the commands that a page types, without prompts and comments; a backslash continues a line."""
    text = "\n".join(BLOCK.findall(page.read_text())).replace("\\\n", " ")
    lines = [line[2:] for line in text.split("\n") if line.startswith("$ ")]
    return [" ".join(line.partition(" #")[0].split()) for line in lines]


ALL = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)]
OURS = [(page, line) for page, line in ALL if line.startswith("optbench ")]


def script(name: str) -> ModuleType:
    """Return a script of docs/make as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "make" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("page", "line"), OURS, ids=[f"{page}: {line}" for page, line in OURS])
def test_a_command_has_only_options_that_exist(page: str, line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line.partition(" && ")[0].partition(" | ")[0])[1:]
    path = "optbench"
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        path, command = f"{path} {words[0]}", command.commands[words[0]]
        words = words[1:]
    command.make_context(path, words, resilient_parsing=False) if not hasattr(command, "commands") else None


RUNS = [line for _, line in OURS if line.split()[1] in ("run", "show") and not OWN.search(line) and "NAME" not in line]


@pytest.mark.parametrize("line", sorted({line for line in RUNS if "RUN_ID" not in line and "lionn" not in line}))
def test_the_words_of_a_run_can_be_composed(line: str) -> None:
    words = [word for word in shlex.split(line)[2:] if "=" in word and not word.startswith("-")]
    if "script=" in line:
        pytest.skip("a script of the reader")
    try:
        config.load(words)
    except OptbenchError as error:
        pytest.fail(f"{line}: {error}")


def test_there_are_commands_to_check() -> None:
    assert len(OURS) > 100 and len(set(RUNS)) > 12
    assert {page for page, _ in OURS} >= {"README.md", "docs/quickstart.md", "docs/concepts/sweeps.md"}


def test_generated_pages_are_those_of_the_code() -> None:
    written = script("reference").pages()
    stale = [name for name, text in written.items() if (ROOT / "docs" / "reference" / name).read_text() != text]
    assert stale == [], "run: python docs/make/reference.py"
    assert (ROOT / "docs" / "architecture.svg").read_text() == script("architecture").drawn()


def test_the_picture_of_the_architecture_has_every_package() -> None:
    drawn = {name for _, packages in script("architecture").ROWS for name in packages}
    there = {path.stem for path in (ROOT / "optbench").iterdir() if not path.name.startswith(("_", "."))}
    assert drawn == there - {"py"}


def test_every_fact_of_a_file_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs" / "reference" / "about.md").read_text()))
    assert ({*FORMS, *OPTIMIZER_FACTS} - explained) == set()


def test_the_readme_is_short_and_counts_right() -> None:
    assert (ROOT / "README.md").stat().st_size <= 9000
    optimizers, models = (len(list((ROOT / "conf" / kind).glob("*.yaml"))) for kind in ("optimizer", "model"))
    assert f"{optimizers} optimizers, {models} models" in (ROOT / "README.md").read_text()
    assert f"{optimizers} algorithms" in (ROOT / "docs" / "reference" / "choices.md").read_text()


def test_every_page_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f" {page}\n" not in listed] == []


# -- as a reader types them --------------------------------------------------------------------------------------------

TYPED = ("quickstart", "tutorials/compare", "tutorials/own-optimizer", "tutorials/own-script", "tutorials/fine-tuning")
TYPED += ("tutorials/claim",)
SHORTER = (
    (
        "model=mlp,resnet9,gpt,bert --study wide --budgets 0.5,1",
        "model=mlp,resnet --study wide --budgets 0.5,1 steps=20",
    ),
    ("model=gpt steps=200", "model=gpt steps=10"),
    *((f" {option} {many}", f" {option} 2") for option in ("--trials", "--seeds") for many in (24, 8, 5, 4, 3)),
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", TYPED)
def test_a_page_works_as_typed(name: str, tmp_path: Path) -> None:
    """All commands of a page in one folder, in their order, with fewer trials, seeds and steps."""
    lines = [line for line in commands(ROOT / "docs" / f"{name}.md") if line.startswith("optbench ")]
    kept = [line for line in lines if "data=imagefolder" not in line and "kfac-steps" not in line]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    environment |= {"HOME": str(tmp_path), "OPTBENCH_CACHE_DIR": str(tmp_path / "cache")}
    for line in kept:
        for longer, shorter in SHORTER:
            line = line.replace(longer, shorter)
        if line.startswith("optbench sweep ") and "--trials" not in line:
            line += " --trials 4 --seeds 2"
        ids = sorted((tmp_path / "results" / "runs").glob("mlp-*"), key=lambda folder: folder.stat().st_mtime)
        line = line.replace("RUN_ID", ids[0].name) if "RUN_ID" in line else line
        typed = f'optbench() {{ {sys.executable} -m optbench "$@"; }}\n{line}'
        done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, 3) and "Traceback" not in done.stderr, f"{line}\n{done.stderr[-2000:]}"
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
