"""The table of published verdicts: written, checked, and compared with this repository."""

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
    return (
        tree
        | {"seeds": 3, "few_seeds": True, "device": "a cpu x 2", "date": "2026-01-01", "run_seconds": 125.0}
        | changes
    )


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
    assert code == 3 and "README.md" in err and "Update them: optbench reproduce --summary" in err
    assert call("reproduce", "--summary", "-o", published)[0] == 0
    text = (published.parent.parent / "README.md").read_text()
    assert text.startswith("# A project\n\n") and text.endswith("\n\nThe end.\n") and "old" not in text
    decided = "a is better than b in test_metric: w: difference 1 [0, 2], n = 3 seeds"
    linked = "[first](results/claims/first-cpu/report.md): first \\| wins"
    assert f"| {linked} | **supported** | 3 (few) | {decided} | cpu, a cpu x 2 | 2 min 5 s |" in text
    assert "Of 2 verdicts: supported 1, not supported 1. Cost: the seconds of all runs together." in text
    assert "Not run yet" not in text
    for slug in ("second", "third", "fourth"):
        (published.parent.parent / "experiments" / slug).mkdir(parents=True)
        (published.parent.parent / "experiments" / slug / "study.yaml").write_text("")
    assert call(*check)[0] == 3
    assert call("reproduce", "--summary", "-o", published)[0] == 0
    text = (published.parent.parent / "README.md").read_text()
    assert "all runs together. Not run yet in their present design: fourth, third.\n" in text
    assert "[second](claims/second-cpu/report.md)" in (published.parent / "README.md").read_text()
    assert call(*check)[0] == 0
    (published / "first-cpu" / "verdict.json").write_text(json.dumps(verdict("first", "inconclusive")))
    assert call(*check)[0] == 3


STANDINGS = [
    {
        "contender": name,
        "iqm": {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 10},
        "first": first,
        "mean_rank": {"value": 1.0, "low": 1.0, "high": 1.0, "n": 2},
        "ranks": {"vit": ranks, "mlp": [2, 2]},
        "weakest": "mlp",
        "minimum": value - 0.2,
        "by_workload": {"vit": value + 0.2, "mlp": value - 0.2},
        "equivalent": {"value": needs, "low": None, "high": None, "n": 2},
        "equivalent_bound": "at least" if needs else "",
        "regret_at_defaults": 0.125 if needs else None,
        "failed": 0,
        "speed": speed,
        "state": 1.0,
    }
    for name, value, first, ranks, speed, needs in (
        ("lion", 0.9, 0.75, [1, 1], 1.125, 1.5),
        ("adamw", 0.7, None, [1, 2], None, None),
    )
]


def test_a_leaderboard_is_written_between_its_marks(published: Path, call: Call) -> None:
    file = published.parent.parent / "README.md"
    marks = "<!-- leaderboard first-cpu -->\nold\n<!-- /leaderboard -->"
    file.write_text(f"{marks}\n\n{README}")
    summarise = ["reproduce", "--summary", "-o", published]
    code, _, err = call(*summarise)
    assert code == 2 and "no leaderboard first-cpu is published" in err and "Published: none" in err
    tree = verdict("first", standings=STANDINGS, command="optbench reproduce first", held_equal="8 points")
    (published / "first-cpu" / "verdict.json").write_text(json.dumps(tree))
    assert call(*summarise)[0] == 0
    text = file.read_text()
    assert "![first | wins](results/claims/first-cpu/runs.png)" in text.partition("<!-- /leaderboard -->")[0]
    line = "| 1 | `lion` | 0.90 [0.80, 1.00] | 75 % | 0.70 (mlp) | at least 1.50 | 12 % | 1.12 x | 1.00 x |"
    assert line in text
    assert "| 2 | `adamw` | 0.70 [0.60, 0.80] |  | 0.50 (mlp) |  |  |  | 1.00 x |" in text
    assert "\nHeld equal: 8 points. `optbench reproduce first` (a cpu x 2, 3 seeds)" in text
    assert call(*summarise, "--check")[0] == 0
    (published / "first-cpu" / "verdict.json").write_text(json.dumps(tree | {"standings": STANDINGS[::-1]}))
    assert call(*summarise, "--check")[0] == 3


def test_the_first_criterion_with_the_verdict_decides() -> None:
    def one(holds: bool | None, text: str, where: str) -> dict[str, Any]:
        places = [
            {"where": "u", "holds": True, "words": "fine, n = 9 runs"},
            {"where": where, "holds": holds, "words": f"said of {where}, n = 9 runs"},
        ]
        return {"text": text, "statement": "", "words": "u: fine; ...", "holds": holds, "evidence": places}

    tree = verdict(
        "x", "not supported", holds=False, criteria=[one(True, "A", "v"), one(None, "B", "w"), one(False, "C", "z")]
    )
    assert summary.decisive(tree) == "1 of 3 hold; C (z): said of z"
    control = one(None, "D", "k") | {"control": True}
    tree = verdict("x", "undecided", holds=None, criteria=[one(True, "A", "v"), control])
    assert summary.decisive(tree) == "control: D (k): said of k"
    long = verdict("x", criteria=[{"text": "word " * 99, "statement": "", "words": "w"}])
    assert summary.decisive(long).endswith("word …") and len(summary.decisive(long)) <= summary.LONGEST + 2


def test_mistakes(published: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# No end\n{summary.START}\n")
    code, _, err = call("reproduce", "--summary", "-o", published)
    assert code == 2 and f"{summary.START} has no end" in err
    (tmp_path / "README.md").write_text("# No marks\n")
    assert call("reproduce", "--summary", "-o", published)[0] == 0, "the other file has them"
    (tmp_path / "results" / "README.md").unlink()
    code, _, err = call("reproduce", "--summary", "-o", published)
    assert code == 2 and "no file has marks for the table" in err and "docs/results/claims.md" in err
    (tmp_path / "README.md").write_text(README)
    (published / "first-cpu" / "verdict.json").write_text("{}")
    code, _, err = call("reproduce", "--summary", "-o", published)
    assert code == 2 and "not a published verdict" in err
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


def test_the_tables_are_up_to_date() -> None:
    folder = ROOT / "results" / "claims"
    found = verdicts(folder)
    if not found:
        pytest.skip("no claim has been published yet")
    assert ROOT / "docs" / "results" / "claims.md" in summary.marked(folder)
    assert summary.stale(summary.marked(folder), found, folder) == []
