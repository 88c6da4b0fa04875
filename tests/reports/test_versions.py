"""What counts as one contender: program, source, implementation and every setting but the seed; no seed twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run, write_study

from optbench.errors import NoResultsError
from optbench.merging.join import plan_merge
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.contenders import contenders_of
from optbench.reports.read.reading import Results, read
from optbench.reports.read.study_file import cells_of
from optbench.reports.read.versions import contender_named

Call = Callable[..., tuple[int, str, str]]
OLD, NEW = "3f2a" + "0" * 60, "91cc" + "0" * 60


def change(folder: Path, **changes: Any) -> Path:
    run = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def plain(root: Path, name: str, seed: int, trial: int = 0, value: float = 0.5, **changes: Any) -> Path:
    """Write a run outside of a sweep."""
    folder = write_run(root / "runs", name, "run", seed, trial, value, "max")
    return change(folder, sweep=None, trial_id=f"{name}-{trial}", overrides=[f"optimizer={name}"], **changes)


def names(results: Results) -> dict[str, int]:
    """Return the number of runs by contender."""
    found = [run["contender"] for run in results.runs]
    return {name: found.count(name) for name in found}


def test_two_sources_of_a_name_are_two_contenders(tmp_path: Path) -> None:
    for seed in (0, 1):
        for trial, sha256 in enumerate((OLD, NEW)):
            plain(tmp_path, "Mine", seed, trial, sources={"optimizer_sha256": sha256}, config=config("Mine"))
        plain(tmp_path, "other", seed, 0, sources={"optimizer_sha256": OLD})
    assert names(read(tmp_path)) == {"Mine @ 3f2a": 2, "Mine @ 91cc": 2, "other": 2}


def config(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "optimizer": {"name": name, "lr": 0.1, **changes},
        "model": {"name": "made"},
        "data": {"name": "up"},
        "steps": 100,
        "batch_size": 8,
        "target": None,
    }


def test_more_digits_where_four_are_the_same(tmp_path: Path) -> None:
    for trial, digit in enumerate("ab"):
        sha256 = f"3f2a{digit}" + "0" * 59
        plain(tmp_path, "Mine", trial, trial, sources={"optimizer_sha256": sha256}, config=config("Mine"))
    assert set(names(read(tmp_path))) == {"Mine @ 3f2aa", "Mine @ 3f2ab"}


def test_a_part_that_is_the_users_own_counts_too(tmp_path: Path) -> None:
    for trial, sha256 in enumerate((OLD, NEW)):
        sources = {"optimizer_sha256": None, "clip_sha256": sha256}
        plain(tmp_path, "a", trial, trial, sources=sources, config=config("a"))
    assert set(names(read(tmp_path))) == {"a @ 3f2a", "a @ 91cc"}


def test_two_implementations_are_two_contenders(tmp_path: Path) -> None:
    for trial, implementation in enumerate(("optbench", "timm")):
        write_run(tmp_path / "s", "lion", "final", 1000, trial, 0.5, "max")
        change(tmp_path / "s" / f"lion-final-{trial}-s1000", implementation=implementation)
    assert set(names(read(tmp_path))) == {"lion (optbench)", "lion (timm)"}


def test_settings_that_nobody_typed_tell_contenders_apart(tmp_path: Path) -> None:
    for trial, rate in enumerate((0.1, 0.2)):  # from two configuration folders
        plain(tmp_path, "a", 0, trial, config=config("a", lr=rate))
    assert set(names(read(tmp_path))) == {"a optimizer.lr=0.1", "a optimizer.lr=0.2"}


def test_two_studies_that_tuned_one_optimizer_are_two_contenders(tmp_path: Path) -> None:
    for study, score in (("one", 0.5), ("two", 0.6)):
        write_study(tmp_path, {"a": [score, score]}, tuning={"a": [0.1, score]}, study=study)
        for folder in (tmp_path / study).glob("*/run.json"):
            change(folder.parent, run_id=f"{study}-{folder.parent.name}")
    plain(tmp_path, "a", 0)
    assert set(names(read(tmp_path))) == {"a in one", "a in two", "a"}
    assert set(names(read(tmp_path / "one"))) == {"a"}


def test_a_seed_counts_once_and_the_newest_run_is_kept(tmp_path: Path) -> None:
    for trial, (value, hour) in enumerate(((0.1, "09"), (0.9, "11"), (0.5, "10"))):
        started = f"2026-01-01T{hour}:00:00+0000"
        plain(tmp_path, "a", 0, trial, value, started_at=started, config=config("a"))
    results = read(tmp_path)
    assert [run["test"] for run in results.runs] == [0.9]
    assert sorted(path for path, _ in results.skipped) == ["runs/a-run-0-s0", "runs/a-run-2-s0"]
    assert {reason for _, reason in results.skipped} == {
        "the same contender and seed as runs/a-run-1-s0, which is newer"
    }
    (row,) = build(results, ReportOptions()).workloads[0].rows
    assert row.values == (0.9,)


def test_a_finished_run_is_kept_rather_than_a_newer_open_one(tmp_path: Path) -> None:
    plain(tmp_path, "a", 0, 0, 0.1, started_at="2026-01-01T09:00:00+0000", config=config("a"))
    newer = plain(tmp_path, "a", 0, 1, 0.9, started_at="2026-01-01T10:00:00+0000", config=config("a"))
    (newer / "result.json").unlink()
    assert [run["test"] for run in read(tmp_path).runs] == [0.1]


# -- a sweep whose optimizer was edited --------------------------------------------------------------------------------


def edited_study(root: Path, *, finals_before: bool) -> Path:
    """Write a study that ran with one source, then again with another; study.json plans the later runs."""
    study = write_study(root, {"Mine": [0.5, 0.5]}, tuning={"Mine": [0.1, 0.5]})
    tree = json.loads((study / "study.json").read_text())
    for folder in [file.parent for file in study.glob("*/run.json")]:
        change(folder, sources={"optimizer_sha256": NEW})
        before = json.loads((folder / "run.json").read_text())
        if before["stage"] == "final" and not finals_before:
            continue
        old = study / f"{folder.name}-old"
        old.mkdir()
        (old / "result.json").write_text((folder / "result.json").read_text().replace("0.5", "0.4"))
        changed = {**before, "run_id": old.name, "sources": {"optimizer_sha256": OLD}}
        (old / "run.json").write_text(json.dumps(changed))
    (cell,) = tree["cells"]
    for trial in cell["trials"]:
        trial["runs"] = [f"Mine-tune-{trial['trial']}-s0"]
    cell["finals"] = ["Mine-final-1-s1000", "Mine-final-1-s1001"]
    (study / "study.json").write_text(json.dumps(tree))
    return study


def test_a_sweep_of_an_edited_optimizer_pools_no_seeds(tmp_path: Path, call: Call) -> None:
    study = edited_study(tmp_path, finals_before=True)
    results = read(study)
    assert names(results) == {"Mine @ 3f2a": 4, "Mine @ 91cc": 4}
    old, new = contenders_of(results.runs, cells_of(results.studies))
    assert (old.name, old.current, old.cell.get("winner")) == ("Mine @ 3f2a", False, None)
    assert (new.current, new.cell.get("winner")) == (True, 1)
    (workload,) = build(results, ReportOptions()).workloads
    assert {row.contender: row.values for row in workload.rows} == {
        "Mine @ 91cc": (0.5, 0.5),
        "Mine @ 3f2a": (0.4, 0.4),
    }
    assert call("compare", "Mine @ 9", "Mine @ 3", study)[0] == 0


def test_an_optimizer_of_a_file_has_its_own_name_in_a_sweep(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "s", "Mine", "final", 1000, 0, 0.5, "max")
    choices = ["optimizer=./a\\:b/mine.py:Mine", "optimizer.lr=0.1", "model=made"]
    change(folder, sweep={"cell": "c", "trial": 0, "choices": choices, "workload": ["model=made"]})
    assert set(names(read(tmp_path))) == {"Mine optimizer.lr=0.1"}


def test_the_tuning_of_a_version_that_was_given_up_is_left_out(tmp_path: Path) -> None:
    results = read(edited_study(tmp_path, finals_before=False))
    assert names(results) == {"Mine": 4}
    assert len(results.skipped) == 2
    assert all("another source than its study's runs" in reason for _, reason in results.skipped)


# -- data --------------------------------------------------------------------------------------------------------------


def of_content(root: Path, study: str = "runs") -> None:
    for seed in (0, 1):
        for trial, sha256 in enumerate((OLD, NEW)):
            folder = write_run(root / study, "a", "run", seed, trial, 0.5, "max", data=sha256)
            settings = {"sweep": None, "trial_id": f"a-{trial}", "overrides": ["optimizer=a"], "config": config("a")}
            change(folder, content={"data.path": sha256}, **settings)


def test_two_contents_of_a_path_are_two_workloads(tmp_path: Path) -> None:
    of_content(tmp_path)
    found = {workload.name: workload.rows[0].values for workload in build(read(tmp_path), ReportOptions()).workloads}
    assert found == {"made-up @ 3f2a": (0.5, 0.5), "made-up @ 91cc": (0.5, 0.5)}


def test_two_contents_of_a_path_can_be_merged(tmp_path: Path) -> None:
    for number in (0, 1):
        of_content(tmp_path / str(number))
        for folder in (tmp_path / str(number) / "runs").glob(f"*-{number}-s*"):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    (plan,) = plan_merge([tmp_path / "0", tmp_path / "1"], tmp_path / "out", ())
    assert plan.runs == 4


# -- names that are typed ----------------------------------------------------------------------------------------------

KNOWN = ["Mine @ 3f2a", "Mine @ 91cc", "adamw", "adamw_independent", "lion @ 3f2a"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("adamw", "adamw"), ("lion", "lion @ 3f2a"), ("Mine @ 3", "Mine @ 3f2a"), ("adamw_", "adamw_independent")],
)
def test_a_typed_name_means_a_contender(typed: str, meant: str) -> None:
    assert contender_named(typed, KNOWN) == meant


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("Mine", "2 contenders", "Mine @ 3f2a; Mine @ 91cc"),
        ("lyon", "no runs", "lion"),
        ("Mine @ 7", "no runs", "Mine"),
    ],
)
def test_a_name_of_none_or_several_is_an_error(typed: str, message: str, hint: str) -> None:
    with pytest.raises(NoResultsError, match=message) as raised:
        contender_named(typed, KNOWN)
    assert hint in raised.value.hint


def test_scripts_of_one_name_have_the_folder_in_their_name(tmp_path: Path) -> None:
    """`train.py` of another folder is another workload; the same text in another folder is not."""
    places = {"/home/mine/vision/train.py": OLD, "/home/mine/text/train.py": NEW, "/copies/of/vision_2/train.py": OLD}
    for trial, (script, sha256) in enumerate(places.items()):
        folder = plain(tmp_path, "lion", trial, trial, script=script, content={"model.command_sha256": sha256})
        typed = ["script=./train.py" if trial else "script=train.py", "optimizer=lion"]
        change(folder, overrides=typed, trial_id=f"lion-{sha256}", config=config("lion", lr=0.1))
    found = [run["workload"] for run in read(tmp_path).runs]
    assert sorted(found) == ["text/made-up", "vision/made-up", "vision/made-up"]


def test_two_versions_of_a_script_keep_its_folder(tmp_path: Path) -> None:
    for trial, sha256 in enumerate((OLD, NEW)):
        content = {"model.command_sha256": sha256}
        plain(tmp_path, "lion", 0, trial, script="/a/vision/train.py", content=content, config=config("lion"))
    assert {run["workload"] for run in read(tmp_path).runs} == {"vision/made-up @ 3f2a", "vision/made-up @ 91cc"}
