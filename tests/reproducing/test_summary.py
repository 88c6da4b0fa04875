"""The table of published verdicts: written, checked, and held against what this repository says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Call

from optbench.errors import ConfigError
from optbench.reproducing import summary
from optbench.reproducing.published import agreement, read, verdicts

ROOT = Path(__file__).resolve().parents[2]
README = f"# A project\n\n{summary.START}\nold\n{summary.END}\n\nThe end.\n"


def verdict(slug: str, word: str = "supported", **changes: Any) -> dict[str, Any]:
    criteria = [{"statement": "a is better than b in test_metric", "words": "w: difference 1 [0, 2], n = 3 seeds"}]
    tree = {"schema": 1, "slug": slug, "scale": "cpu", "title": f"{slug} | wins", "verdict": word, "criteria": criteria}
    return tree | {"seeds": 3, "few_seeds": True, "device": "a cpu x 2", "date": "2026-01-01"} | changes


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "claims"
    for slug, word in (("first", "supported"), ("second", "not supported")):
        (folder / f"{slug}-cpu").mkdir(parents=True)
        (folder / f"{slug}-cpu" / "verdict.json").write_text(json.dumps(verdict(slug, word)))
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "results" / "README.md").write_text(README)
    return folder


def test_the_section_is_written_checked_and_goes_stale(published: Path, call: Call) -> None:
    check = ["reproduce", "--summary", "--check", "-o", published]
    code, _, err = call(*check)
    assert code == 3 and "README.md" in err and "Write it: optbench reproduce --summary" in err
    assert call("reproduce", "--summary", "-o", published)[0] == 0
    text = (published.parent.parent / "README.md").read_text()
    assert text.startswith("# A project\n\n") and text.endswith("\n\nThe end.\n") and "old" not in text
    assert "| [first](results/claims/first-cpu/report.md): first \\| wins | cpu | **supported** | 3 (few) |" in text
    assert "Of 2 verdicts: supported 1, not supported 1." in text
    assert "[second](claims/second-cpu/report.md)" in (published.parent / "README.md").read_text()
    assert call(*check)[0] == 0
    (published / "first-cpu" / "verdict.json").write_text(json.dumps(verdict("first", "inconclusive")))
    assert call(*check)[0] == 3


def test_mistakes(published: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# No marks\n")
    code, _, err = call("reproduce", "--summary", "-o", published)
    assert code == 2 and "has no section to write" in err
    (published / "first-cpu" / "verdict.json").write_text("{}")
    code, _, err = call("reproduce", "--summary", "-o", published)
    assert code == 2 and "is no published verdict" in err
    (published / "first-cpu" / "verdict.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(published / "first-cpu" / "verdict.json")


def test_agreement() -> None:
    before = verdict("x", versions={"torch": ["1"]}, claim={}, level=0.95)
    assert agreement(before, before) == "agrees with the verdict published 2026-01-01 on a cpu x 2"
    now = before | {"verdict": "inconclusive", "versions": {"torch": ["2"]}}
    assert agreement(now, before).endswith("it was supported; changed since: versions")
    assert agreement(before | {"verdict": "inconclusive"}, before).endswith("with the same claim, device and versions")


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert summary.section([], "x/") == "No claim has been published yet."
    assert verdicts(tmp_path) == []


def test_what_this_repository_says_is_what_was_published() -> None:
    folder = ROOT / "results" / "claims"
    found = verdicts(folder)
    if not found:
        pytest.skip("no claim has been published yet")
    assert summary.stale([ROOT / "README.md", ROOT / "results" / "README.md"], found, folder) == []
