"""study.json of merged trees: a study split over machines equals the study of one; disagreements are noted."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "reports"))
from conftest import Call
from made_runs import write_run, write_study
from test_merge import LION, SGD, change, runs_in, state


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that trees have short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


SWEEP = ("optimizer=lion,sgd", "model=quadratic", "threads=1", "tracker=none", "steps=20", "--study", "made")
SWEEP += ("--trials", "2", "--tune-seeds", "2", "--seeds", "1", "--jobs", "2", "--json")


def share(study: Path, root: Path, part: int, of: int) -> None:
    """Copy what one of several machines has of a study if each did every n-th run; its study.json has the rest as
    open."""
    target = root / study.name
    runs = sorted(runs_in(study) - {"logs"})[part::of]
    for run in runs:
        shutil.copytree(study / run, target / run)
    tree = json.loads((study / "study.json").read_text())
    for cell in tree["cells"]:
        cell |= {"winner": None, "edges": [], "finals": [], "stage": "tune", "metric": None, "direction": None}
        for trial in cell["trials"]:
            if not set(trial["runs"]) <= set(runs):
                trial |= {"state": "open", "value": None, "score": None}
    (target / "study.json").write_text(json.dumps(tree))


def test_a_study_split_over_machines_equals_the_study_of_one(here: Path, call: Call) -> None:
    assert call("sweep", *SWEEP, "--results-dir", "whole")[0] == 0
    whole = json.loads((here / "whole/made/study.json").read_text())
    for part in range(3):
        share(here / "whole" / "made", here / str(part), part, 3)
    assert call("merge", "0", "1", "2", "-o", "all")[0] == 0
    merged = json.loads((here / "all/made/study.json").read_text())
    keys = ("trials", "winner", "edges", "label", "box", "choices")
    assert [{k: cell[k] for k in keys} for cell in merged["cells"]] == [
        {k: cell[k] for k in keys} for cell in whole["cells"]
    ]
    assert [cell["stage"] for cell in merged["cells"]] == ["tuned", "tuned"]  # no study.json knows of final runs
    assert merged["settings"] == whole["settings"]
    code, out, _ = call("sweep", *SWEEP, "--results-dir", "all")
    assert code == 0 and json.loads(out)["runs"]["ran"] == 0
    again = json.loads((here / "all/made/study.json").read_text())
    assert again == whole
    assert call("merge", "0", "1", "2", "-o", "all")[0] == 0  # late machines change nothing of it
    assert json.loads((here / "all/made/study.json").read_text()) == whole


def change_study_file(study: Path, **changes: Any) -> dict[str, Any]:
    change(study / "study.json", **changes)
    return json.loads((study / "study.json").read_text())


def test_cells_that_disagree_are_left_to_the_sweep(here: Path, call: Call) -> None:
    for tree, lr in (("a", 0.1), ("b", 0.2)):
        study = write_study(here / tree, LION)
        trial = {"trial": 0, "values": {"optimizer.lr": lr}, "runs": ["lion-final-0-s1000"]}
        cells = change_study_file(study)["cells"]
        change_study_file(
            study, settings={"name": "made", "trials": 1, "seeds": len(tree) + (tree == "b")}, cells=cells
        )
        cells[0]["trials"] = [trial]
        change_study_file(study, cells=cells)
    code, _, err = call("merge", "a", "b", "-o", "all")
    assert code == 0
    assert "cell 'lion': trial 0 is not the same point and runs: keeping that of a" in err
    assert "b: its settings differ from a's: seeds 1 and 2" in err
    merged = json.loads((here / "all/made/study.json").read_text())
    assert merged["cells"][0]["trials"][0]["values"] == {"optimizer.lr": 0.1}
    assert merged["settings"]["seeds"] == 1 and [old["seeds"] for old in merged["history"]] == [2]


@pytest.mark.parametrize("spoilt", ['{"torn', "[]", '{"schema": 1, "cells": 3}', '{"schema": 1, "cells": ["a", null]}'])
def test_a_damaged_study_json_is_reported_and_the_other_one_used(here: Path, call: Call, spoilt: str) -> None:
    write_study(here / "a", LION)
    write_study(here / "b", SGD)
    for tree, whole in (("a", "sgd"), ("b", "lion")):
        shutil.copytree(here / tree, here / f"{tree}-spoilt")
        (here / f"{tree}-spoilt" / "made" / "study.json").write_text(spoilt)
        other = "b" if tree == "a" else "a"
        code, _, err = call("merge", f"{tree}-spoilt", other, "-o", f"all-{tree}")
        assert code == 0 and "left out" in err and str(Path(f"{tree}-spoilt", "made", "study.json")) in err
        merged = json.loads((here / f"all-{tree}" / "made" / "study.json").read_text())
        assert [cell["label"] for cell in merged["cells"]] == [whole]
        assert len(runs_in(here / f"all-{tree}" / "made")) == 4


def test_a_better_trial_of_another_machine_wins_and_final_runs_of_two_winners_are_noted(here: Path, call: Call) -> None:
    for tree, known, value in (("a", 0, 0.5), ("b", 1, 0.6)):
        study = here / tree / "made"
        cells = [
            {
                "label": "lion",
                "choices": ["optimizer=lion"],
                "workload": ["budget=1"],
                "extensions": 0,
                "dimensions": [{"key": "optimizer.lr", "low": 0.001, "high": 1.0, "log": True, "values": []}],
                "trials": [
                    {"trial": t, "values": {"optimizer.lr": [0.03, 0.9][t]}, "runs": [f"lion-tune-{t}-s0"]}
                    | {"state": "done" if t == known else "open", "value": None, "score": None}
                    for t in (0, 1)
                ],
                "winner": known,
                "edges": [],
                "finals": [f"lion-final-{known}-s1000"],
                "stage": "done",
            }
        ]
        write_run(study, "lion", "tune", 0, known, value, "max")
        write_run(study, "lion", "final", 1000, known, value, "max")
        for run in study.iterdir():
            change(run / "result.json", metric="score", direction="max")
        (study / "study.json").write_text(json.dumps({"schema": 1, "cells": cells, "settings": {"trials": 16}}))
    code, _, err = call("merge", "a", "b", "-o", "all")
    assert code == 0 and "cell 'lion' has final runs of trial 0 in a and of trial 1 in b" in err
    merged = json.loads((here / "all/made/study.json").read_text())["cells"][0]
    assert [trial["score"] for trial in merged["trials"]] == [0.5, 0.6]
    assert (merged["winner"], merged["finals"], merged["stage"]) == (1, ["lion-final-1-s1000"], "done")
    assert merged["edges"] == [["optimizer.lr", "high"]]
    before = state(here / "all")
    for words in (("a", "all", "b"), ("b", "a"), ("all",)):
        assert call("merge", *words, "-o", "all")[0] == 0
    assert state(here / "all") == before
