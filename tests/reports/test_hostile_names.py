"""Names in files of strangers are text wherever they are shown: terminal, tables, pages, figures; and odd paths."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import xml.dom.minidom
from collections.abc import Callable
from pathlib import Path

import pytest

from optbench.benches.reporting.tree import make_tree

Call = Callable[..., tuple[int, str, str]]
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
NAMES = (
    "\x1b[31mred\x07",
    "a\nb\rc",
    "\u202eabc\u2066",
    "nul\x00x",
    "<img src=x onerror=alert(1)>",
    "|pipe`tick](javascript:alert(1))",
    "=1+1",
    "[red]bold[/red]",
    "\udc80\ud800",
    "$x^2$ \\frac",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("hostile"), runs=20, records=4)


def renamed(study: Path, name: str) -> None:
    """Give an optimizer, a model, a metric and the study's title a name."""
    typed = json.dumps(name)[1:-1]
    for file in study.rglob("*.json"):
        text = file.read_text()
        for old in ("lion", "vit", "accuracy"):
            text = text.replace(f'"{old}"', f'"{old[0]}{typed}"').replace(f"={old}", f"={old[0]}{typed}")
        file.write_text(text.replace('"claim": null', f'"claim": null, "title": "{typed}"'))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, tmp_path / "r" / "s")
    renamed(tmp_path / "r" / "s", name)
    for words in (["report", "r", "--text"], ["merge", "r", "-o", "m"], ["compare", name, "adamw", "r"]):
        code, out, err = call(*words)
        assert code in (0, 5), err
        assert not CONTROL.search(out + err)
    code, out, _ = call("report", "r/s", "-o", "out", "--only", "html,md,csv,json")
    assert code == 0
    for file in (tmp_path / "out").rglob("*.*"):
        assert not CONTROL.search(file.read_text())
    for file in (tmp_path / "out" / "tables").glob("*.csv"):
        cells = [cell for row in csv.reader(file.read_text().splitlines()) for cell in row]
        assert not [cell for cell in cells if re.match(r"[=+@]|-(?![\d.])", cell)]
    assert "<img src=x" not in (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"(?<!\\)<img|(?<!\\)\]\(javascript", (tmp_path / "out" / "report.md").read_text())


def test_a_figure_holds_no_control_characters(tmp_path: Path) -> None:
    from optbench.reports.render.figures.style import new, save

    figure, axes = new()
    axes.set_title("a\x1b[31m\x08b")
    with open(tmp_path / "a.svg", "wb") as out:
        save(figure, out, "svg")
    assert xml.dom.minidom.parse(str(tmp_path / "a.svg"))


def test_results_under_a_path_that_is_not_utf_8(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    root = os.fsdecode(b"r\xff")
    shutil.copytree(whole, f"{root}/s\udcfe")
    for words in (["report", root, "--text"], ["report", root, "-o", f"{root}/o", "--only", "html,md,csv,json"]):
        code, out, err = call(*words)
        assert code == 0 and not CONTROL.search(out + err), err
    assert json.loads(call("report", f"{root}/s\udcfe", "--text", "--json")[1])["workloads"]
    assert call("compare", "lion", "adamw", f"{root}/s\udcfe")[0] == 0
    assert call("merge", root, "-o", f"{root}/m")[0] == 0
    run = ("run", "model=quadratic", "steps=2", "tracker=none", "threads=1", "--results-dir", f"{root}/n")
    assert call(*run)[0] == 0 and call(*run)[0] == 0
