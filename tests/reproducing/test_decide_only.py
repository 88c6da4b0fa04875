"""`optbench reproduce --decide-only`: published claims decided again from their stored runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Call

from optbench.cli.app import main

STATE = {"measure": "state_bytes", "of": "lion", "against": "adamw", "relation": "better_by", "margin": 0.9}
METRIC = {"measure": "test_metric", "of": "lion", "against": "adamw", "relation": "better", "margin": 0.9}
TIME = {
    "measure": "optimizer_seconds",
    "of": {"optimizer": "lion"},
    "against": "adamw",
    "relation": "tie",
    "margin": 99.0,
}
LOSS = {"measure": "test_loss", "of": "lion", "against": "adamw", "relation": "tie", "margin": 1e-9}
STUDY = {
    "title": "Lion has half the state",
    "overrides": ["optimizer=lion,adamw", "model=mlp", "data=digits", "tracker=none", "threads=1"],
    "scales": {"cpu": {"trials": 4, "seeds": 4, "overrides": ["steps=20"]}},
}


def write(folder: Path, claim: Any) -> None:
    """Write the study file of the tiny claim."""
    (folder / "experiments" / "tiny").mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({**STUDY, "claim": claim}, sort_keys=False)
    (folder / "experiments" / "tiny" / "study.yaml").write_text(text)


def words(folder: Path, *more: str) -> list[str]:
    return ["reproduce", *more, "--experiments-dir", str(folder / "experiments"), "-o", str(folder / "claims")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a published claim and its study file, and no results."""
    folder = tmp_path_factory.mktemp("published")
    write(folder, [STATE, METRIC, TIME, LOSS])
    with pytest.raises(SystemExit):
        main([*words(folder, "tiny", "--publish", "--quiet"), "--results-dir", str(folder / "results")])
    (folder / "results").rename(folder / "gone")
    return folder


@pytest.fixture
def published(made: Path) -> Iterator[Path]:
    """Yield the same, as it was after each test."""
    files = {file: file.read_bytes() for file in made.glob("claims/tiny-cpu/*")}
    write(made, [STATE, METRIC, TIME, LOSS])
    yield made
    for file, content in files.items():
        file.write_bytes(content)


def verdict_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "claims" / "tiny-cpu" / "verdict.json").read_text())


def decided(folder: Path, call: Call, *more: str) -> dict[str, Any]:
    code, out, err = call(*words(folder, "tiny", "--decide-only", "--json", *more))
    assert code == 0, err
    (tree,) = json.loads(out)
    return tree


def numbers(tree: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(e["low"], e["high"], e["value"], e["n"]) for one in tree["criteria"] for e in one["evidence"]]


def test_the_same_rules_give_the_same_numbers(published: Path, call: Call) -> None:
    before, runs = verdict_in(published), (published / "claims" / "tiny-cpu" / "runs.csv").read_bytes()
    tree = decided(published, call, "--publish")
    assert (tree["claim"], tree["before"], tree["now"], tree["why"]) == (
        "tiny-cpu",
        before["verdict"],
        before["verdict"],
        [],
    )
    after = verdict_in(published)
    assert numbers(after) == numbers(before) and None not in numbers(before)[0]
    assert after["date"] == before["date"] and after["again"]["before"] == before["verdict"]
    assert after["again"]["source"] == "runs.csv" and len(after["again"]["date"]) == 10
    assert (published / "claims" / "tiny-cpu" / "runs.csv").read_bytes() == runs
    report = (published / "claims" / "tiny-cpu" / "report.md").read_text()
    assert f"Decided again on {after['again']['date']} from the runs of {before['date']} in `runs.csv`" in report
    assert not (published / "results").exists()


def test_what_changed_and_why(published: Path, call: Call) -> None:
    before = verdict_in(published)["verdict"]
    write(published, [STATE | {"margin": 1.1}, METRIC])
    tree = decided(published, call)
    assert tree["before"] == before != tree["now"] == "not supported"
    (line,) = tree["why"]
    assert line.startswith(
        "lion is better by the margin than adamw in state_bytes: supported -> not supported (mlp-digits"
    )
    code, out, _ = call(*words(published, "--all", "--decide-only"))
    assert code == 0 and before in out and "not supported" in out
    assert verdict_in(published)["verdict"] == before  # nothing is written without --publish


def test_numbers_that_were_not_stored_stay_as_published(published: Path, call: Call) -> None:
    file = published / "claims" / "tiny-cpu" / "runs.csv"
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    kept = [name for name in rows[0] if name not in ("optimizer_seconds", "metric_scale", "test_samples")]  # as of old
    with file.open("w", newline="") as out:
        table = csv.DictWriter(out, kept, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    (time,) = [one for one in verdict_in(published)["criteria"] if one["measure"] == "optimizer_seconds"]
    decided(published, call, "--publish")
    (now,) = [one for one in verdict_in(published)["criteria"] if one["measure"] == "optimizer_seconds"]
    assert now["verdict"] == time["verdict"] == "supported" and "as published; the stored runs lack it" in now["words"]
    ends = [[one["evidence"][0][key] for key in ("low", "high")] for one in (time, now)]
    assert ends[1] == pytest.approx(ends[0])
    first = verdict_in(published)
    decided(published, call, "--publish")  # a second time changes nothing
    assert verdict_in(published) == first


def test_a_criterion_of_before_the_rules_is_readable(published: Path, call: Call) -> None:
    tree = verdict_in(published) | {"verdict": "inconclusive", "criteria": [{"statement": "old", "words": "w"}]}
    (published / "claims" / "tiny-cpu" / "verdict.json").write_text(json.dumps(tree))
    found = decided(published, call)
    assert found["before"] == "undecided" and len(found["why"]) == 4


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["tinny", "--decide-only"], 5, "nothing of tinny is published"),
        (["tiny", "--decide-only", "--scale", "gpu"], 5, "nothing of tiny is published at scale gpu"),
        (["tiny", "--decide-only", "--dry-run"], 2, "--decide-only works with a claim or --all"),
    ],
)
def test_mistakes(published: Path, call: Call, more: list[str], code: int, message: str) -> None:
    ended, _, err = call(*words(published, *more))
    assert ended == code and message in err


def test_runs_that_do_not_fit_the_study(published: Path, call: Call) -> None:
    file = published / "claims" / "tiny-cpu" / "runs.csv"
    text = file.read_text()
    file.write_text(text.replace("lion", "tiger"))
    code, _, err = call(*words(published, "--all", "--decide-only"))
    assert code == 3 and "the study has no cell 'tiger' any more" in err and "1 of 1 claims could not be decided" in err
    file.write_text(text.replace(",20,", ",many,"))
    assert "line 2: could not convert string to float: 'many'" in call(*words(published, "tiny", "--decide-only"))[2]
    file.unlink()
    assert "runs.csv: cannot be read" in call(*words(published, "tiny", "--decide-only"))[2]
