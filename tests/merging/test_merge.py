"""Merge results trees: each run once, nothing mixed without permission, and complete run folders whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from optbench.errors import StorageError
from optbench.merging import copy, join
from optbench.merging.choose import TIMES_AND_MEMORY
from optbench.merging.copy import STAGING, TransferMode
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.read.reading import read

sys.path.append(str(Path(__file__).parent.parent / "reports"))
from conftest import VOLATILE, Call
from made_runs import write_run, write_study

LION, SGD = {"lion": [0.9, 0.91]}, {"sgd": [0.7, 0.71]}
RECORD = {"step": 10, "split": "validation", "val_loss": 0.5, "train_seconds": 1.0, "resident_bytes": 7}


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def state(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return time and content of every file below a folder."""
    files = [file for file in root.rglob("*") if file.is_file()]
    return {str(file.relative_to(root)): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def runs_in(study: Path) -> set[str]:
    return {entry.name for entry in study.iterdir() if entry.is_dir() and not entry.name.startswith(".")}


def opened(run: Path, step: int = 0) -> Path:
    """Turn a run into an open one, with a checkpoint at a step."""
    (run / "result.json").unlink(missing_ok=True)
    if step:
        (run / "checkpoints").mkdir(exist_ok=True)
        (run / "checkpoints" / f"step-{step:09d}.pt").write_bytes(b"weights")
    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that trees have short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- what comes together -----------------------------------------------------------------------------------------------


def test_merging_twice_does_nothing_the_second_time(here: Path, call: Call) -> None:
    write_study(here / "a", LION | {"adamw": [0.8]})
    write_study(here / "b", SGD | {"adamw": [0.8]})
    write_study(here / "b", LION, study="other")
    code, out, err = call("merge", "a", "b", "-o", "all", "--json")
    assert (code, err) == (0, "")
    made, other = json.loads(out)["studies"]
    assert (made["runs"], made["same"], len(made["copied"]), other["runs"]) == (5, 1, 5, 2)
    assert {run["tree"] for run in made["copied"]} == {"a", "b"}
    for tree in ("a", "b"):
        assert runs_in(here / tree / "made") <= runs_in(here / "all" / "made")
    assert [cell["label"] for cell in json.loads((here / "all/made/study.json").read_text())["cells"]] == [
        *("lion", "adamw", "sgd")
    ]
    rows = build(read(here / "all" / "made"), ReportOptions()).workloads[0].rows
    assert [(row.contender, len(row.seeds)) for row in rows] == [("lion", 2), ("sgd", 2), ("adamw", 1)]
    before = state(here / "all")
    code, out, _ = call("merge", "a", "b", "-o", "all", "--json")
    assert code == 0 and not any(study["copied"] or study["study_json"] for study in json.loads(out)["studies"])
    assert state(here / "all") == before


def test_renamed_studies_and_the_output_as_input(here: Path, call: Call) -> None:
    shutil.move(write_study(here / "a", LION), here / "made-on-a")
    shutil.move(write_study(here / "b", SGD), here / "made-on-b")
    assert call("merge", "made-on-a", "made-on-b", "-o", ".")[0] == 0
    assert len(runs_in(here / "made")) == 4
    before = state(here)
    assert call("merge", ".", "made-on-a", "made", "./made-on-b", "-o", ".")[0] == 0
    assert {name: at for name, at in state(here).items() if name.startswith("made/")} == {
        name: at for name, at in before.items() if name.startswith("made/")
    }
    write_run(here / "more" / "made", "nadam", "final", 1000, 0, 0.6, "max")
    assert call("merge", "more", "-o", ".")[0] == 0  # one tree into what is there
    assert len(runs_in(here / "made")) == 5


def test_a_tree_inside_another(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    write_study(here / "a" / "from-b", SGD)
    assert call("merge", "a", "a/from-b", "-o", "a/all")[0] == 0
    assert len(runs_in(here / "a" / "all" / "made")) == 4
    assert call("merge", "a/from-b", "-o", "a")[0] == 0  # into a parent
    assert len(runs_in(here / "a" / "made")) == 4


def test_times_of_unequal_hardware_stay_apart_in_the_report(here: Path, call: Call) -> None:
    write_study(here / "a", LION, cpu="fast")
    write_study(here / "b", SGD, cpu="slow")
    alone = build(read(here / "a" / "made"), ReportOptions())
    assert not any("times" in line for line in alone.assumptions if line.startswith("made-up"))
    assert call("merge", "a", "b", "-o", "all")[0] == 0
    found = build(read(here / "all"), ReportOptions())
    assert any("times are left out, as the hardware differs (fast x 2; slow x 2)" in n for n in found.assumptions)
    assert {run.hardware for run in found.runs} == {"fast x 2", "slow x 2"}


# -- one run in several trees ------------------------------------------------------------------------------------------


def test_times_and_memory_are_those_of_all_tests() -> None:
    assert VOLATILE <= TIMES_AND_MEMORY
    assert not TIMES_AND_MEMORY & {"val_loss", "val_metric", "lr", "val_bits_per_byte", "samples", "step"}


def twins(here: Path, a: dict[str, Any], b: dict[str, Any]) -> tuple[Path, Path]:
    """Write the same run in two trees with different records."""
    runs = []
    for tree, record, cpu in (("a", a, "fast"), ("b", b, "slow")):
        runs.append(write_run(here / tree / "made", "lion", "final", 1000, 0, 0.9, "max", cpu=cpu))
        (runs[-1] / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return runs[0], runs[1]


def test_runs_that_differ_in_times_and_memory_are_the_same(here: Path, call: Call) -> None:
    twins(here, RECORD, RECORD | {"train_seconds": 9.0, "resident_bytes": 8})
    code, out, _ = call("merge", "a", "b", "-o", "all", "--json")
    study = json.loads(out)["studies"][0]
    assert (code, study["same"], study["conflicts"]) == (0, 1, [])
    assert json.loads((here / "all/made/lion-final-0-s1000/run.json").read_text())["hardware"]["cpu"] == "fast"


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda b: (b / "metrics.jsonl").write_text(json.dumps(RECORD | {"val_loss": 0.6}) + "\n"), "val_loss=0.6"),
        (lambda b: (b / "metrics.jsonl").write_text(f"{json.dumps(RECORD)}\n" * 2), "1 and 2 records"),
        (lambda b: (b / "metrics.jsonl").write_text("[1]\n"), "cannot be read"),
        (lambda b: change(b / "result.json", status="timed_out"), "status completed and timed_out"),
        (lambda b: change(b / "result.json", final={"val_metric": 0.8}), "val_metric=0.9 and val_metric=0.8"),
        (lambda b: change(b / "result.json", weights_sha256="f" * 64), "weights_sha256"),
    ],
)
def test_ended_runs_that_differ_are_a_conflict_and_the_first_is_kept(
    here: Path, call: Call, spoil: Callable[[Path], Any], words: str
) -> None:
    a, b = twins(here, RECORD, RECORD)
    spoil(b)
    write_run(here / "b" / "made", "sgd", "final", 1000, 0, 0.7, "max")
    code, _, err = call("merge", "a", "b", "-o", "all")
    assert code == 3 and words in err
    assert "fast x 2, optbench 0 at cccccccccc, torch 0" in err and "slow x 2" in err and "a and b differ" in err
    kept = here / "all" / "made" / a.name
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == {f.name: f.read_bytes() for f in a.iterdir()}
    assert (here / "all/made/sgd-final-0-s1000/result.json").exists()  # the rest is merged
    assert call("merge", "b", "a", "-o", "all", "--dry-run")[0] == 3  # what is there stays first
    assert kept.joinpath("result.json").read_bytes() == (a / "result.json").read_bytes()


def test_the_most_complete_copy_wins(here: Path, call: Call) -> None:
    for tree in ("a", "b", "c"):
        for seed in (1000, 1001):
            write_run(here / tree / "made", "lion", "final", seed, 0, 0.9, "max")
    opened(here / "a/made/lion-final-0-s1000", 50)
    opened(here / "a/made/lion-final-0-s1001", 20)
    opened(here / "c/made/lion-final-0-s1001", 90)
    opened(here / "b/made/lion-final-0-s1001")
    assert call("merge", "a", "-o", "all")[0] == 0
    code, out, _ = call("merge", "a", "b", "c", "-o", "all", "--json")
    study = json.loads(out)["studies"][0]
    assert code == 0 and len(study["set_aside"]) == 2
    assert (here / "all/made/lion-final-0-s1000/result.json").exists()
    assert (here / "all/made/lion-final-0-s1001/checkpoints/step-000000090.pt").exists()
    assert (here / "all/made/.replaced/lion-final-0-s1001.1/checkpoints/step-000000020.pt").exists()
    assert (here / "a/made/lion-final-0-s1000/checkpoints").exists()  # the trees are as they were


def test_damaged_runs_are_copied_unless_another_tree_has_a_complete_one(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    write_study(here / "b", LION)
    for run in ("lion-final-0-s1000", "lion-final-0-s1001"):
        (here / "a" / "made" / run / "run.json").write_text('{"torn')
    (here / "b/made/lion-final-0-s1001/result.json").write_text('{"torn')
    code, _, err = call("merge", "a", "b", "-o", "all", "--json")
    assert code == 0 and err.count("damaged, copied unchanged") == 3 and "run.json cannot be read" in err
    assert (here / "all/made/lion-final-0-s1001/run.json").read_text() == '{"torn'
    assert json.loads((here / "all/made/lion-final-0-s1000/run.json").read_text())["seed"] == 1000


# -- what must not come together ---------------------------------------------------------------------------------------


def test_other_data_are_never_merged_and_other_versions_only_on_request(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    write_study(here / "data", SGD, data="e" * 64)
    write_study(here / "code", SGD, commit="b" * 40)
    for words in (("merge", "a", "data", "-o", "all"), ("merge", "a", "data", "-o", "all", "--mix", "versions")):
        code, _, err = call(*words)
        assert code == 2 and "runs of different data: a has dddddddddddd; data has eeeeeeeeeeee" in err
    code, _, err = call("merge", "a", "code", "-o", "all")
    assert code == 2 and "runs of different versions: a has optbench 0 at cccccccccc" in err and "--mix versions" in err
    assert not (here / "all").exists()
    code, _, err = call("merge", "a", "code", "-o", "all", "--mix", "versions")
    assert code == 0 and "mixed: made: made-up: runs of different versions" in err
    assert call("merge", "a", "code", "-o", "all")[0] == 0  # what is there is mixed already, and nothing new comes
    assert "versions" in call("report", "all/made", "--text")[2]  # the report still asks
    code, _, err = call("merge", "data", "-o", "all")
    assert code == 2 and "different data" in err


def test_plain_runs_with_equal_settings_are_one_workload(here: Path, call: Call) -> None:
    for tree, data, word in (("a", "d", "data.n=1"), ("b", "e", "data.n=2"), ("c", "f", "data.n=1")):
        run = write_run(here / tree / "runs", "lion", "run", {"a": 0, "b": 1, "c": 2}[tree], 0, 0.9, "max", data * 64)
        change(run / "run.json", sweep=None, trial_id=word, overrides=["optimizer=lion", word])
    assert call("merge", "a", "b", "-o", "ab")[0] == 0
    assert "different data" in call("merge", "a", "c", "-o", "ac")[2]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("a", "-o", "file"), 2, "this is a file"),
        (("a", "-o", "a/made"), 2, "this is a study's folder"),
        (("a", "-o", "a/made/lion-final-0-s1000"), 2, "this is a run's folder"),
        (("a", "-o", "x", "--link", "--move"), 2, "mutually exclusive"),
        (("a", "-o", "x", "--mix", "data"), 2, "never merged"),
        (("a", "-o", "x", "--mix", "hardware"), 2, "not needed for a merge"),
        (("a", "-o", "x", "--mix", "colours"), 2, "unknown kind"),
        (("aa", "-o", "x"), 5, "Did you mean a?"),
        (("a/made/lion-final-0-s1000", "-o", "x"), 5, "this is the folder of one run"),
        (("empty", "-o", "x"), 5, "no runs found"),
        (("-o", "x"), 2, "TREE"),
        (("a",), 2, "--output"),
    ],
)
def test_mistakes_give_one_clear_error(here: Path, call: Call, words: tuple[str, ...], code: int, message: str) -> None:
    write_study(here / "a", LION)
    (here / "file").write_text("")
    (here / "empty").mkdir()
    found, out, err = call("merge", *words)
    assert found == code and message in err and out == ""
    assert not (here / "x").exists()


# -- how it is done ----------------------------------------------------------------------------------------------------


def test_a_dry_run_says_the_same_and_writes_nothing(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    write_study(here / "b", SGD)
    before = state(here)
    code, out, _ = call("merge", "a", "b", "-o", "all", "--dry-run", "--json")
    assert code == 0 and state(here) == before and not (here / "all").exists()
    assert call("merge", "a", "b", "-o", "all", "--dry-run")[1].strip() == (
        f"{Path('all/made')}: 4 runs: 2 from a, 2 from b would come"
    )
    done = json.loads(call("merge", "a", "b", "-o", "all", "--json")[1])
    assert done["studies"] == json.loads(out)["studies"]


def test_links_share_finished_runs_only_and_moved_runs_are_gone(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    (here / "a/made/logs").mkdir()
    (here / "a/made/logs/lion-final-0-s1000.txt").write_text("message")
    (here / "a/made/lion-final-0-s1000/.lock").touch()
    opened(here / "a/made/lion-final-0-s1001", 5)
    assert call("merge", "a", "-o", "linked", "--link")[0] == 0
    ended, still_open = (Path("made") / f"lion-final-0-s{seed}" / "run.json" for seed in (1000, 1001))
    assert os.path.samefile(here / "a" / ended, here / "linked" / ended)
    assert not os.path.samefile(here / "a" / still_open, here / "linked" / still_open)
    assert not (here / "linked" / ended).with_name(".lock").exists()
    assert (here / "linked/made/logs/lion-final-0-s1000.txt").read_text() == "message"
    before = state(here / "linked")
    assert call("merge", "linked", "-o", "moved", "--move")[0] == 0
    after = state(here / "moved")
    assert runs_in(here / "linked" / "made") == {"logs"}
    assert {n: v for n, v in after.items() if "final" in n} == {n: v for n, v in before.items() if "final" in n}


def test_a_failing_disk_leaves_complete_run_folders_and_the_next_merge_continues(
    here: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(here / "a", {"lion": [0.9] * 6})
    written = []
    true_copy = copy.copy_to_disk

    def full(source: str, target: str) -> None:
        written.append(target)
        if len(written) == 6:  # the second file of the third run
            raise OSError(28, "No space left on device")
        true_copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(copy, "copy_to_disk", full)
        code, _, err = call("merge", "a", "-o", "all")
    assert code == 2 and "cannot be written" in err and "No space left" in err
    assert len(runs_in(here / "all" / "made")) == 2 and not (here / "all" / "made" / STAGING).exists()
    assert call("merge", "a", "-o", "all")[0] == 0
    assert len(read(here / "all").runs) == 6 and read(here / "all").skipped == ()


def test_a_killed_merge_leaves_complete_run_folders_and_the_next_one_continues(here: Path, call: Call) -> None:
    write_study(here / "a", {"lion": [0.9] * 6})
    code = (
        "import os, sys\nfrom optbench.merging import copy\nfrom optbench.cli.app import main\n"
        "true, done = copy.copy_to_disk, []\n"
        "def copy_and_die(source, target):\n"
        "    true(source, target); done.append(target)\n"
        "    if len(done) == 5: os.kill(os.getpid(), 9)\n"
        "copy.copy_to_disk = copy_and_die\nmain(['merge', 'a', '-o', 'all'])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=here, check=False).returncode == -9
    assert len(runs_in(here / "all" / "made")) == 2 and (here / "all" / "made" / STAGING).exists()
    assert len(read(here / "all").runs) == 2 and read(here / "all").skipped == ()
    assert call("merge", "a", "-o", "all")[0] == 0
    assert len(read(here / "all").runs) == 6 and not (here / "all" / "made" / STAGING).exists()


def test_locked_runs_and_studies_are_left_alone(here: Path, call: Call) -> None:
    write_study(here / "a", LION)
    run = opened(here / "a/made/lion-final-0-s1000", 5)
    with FileLock(run / ".lock"):
        code, _, err = call("merge", "a", "-o", "all")
    assert code == 0 and "still running, skipped" in err
    assert runs_in(here / "all" / "made") == {"lion-final-0-s1001"}
    with FileLock(here / "all/made/.scheduler.lock"):
        code, _, err = call("merge", "a", "-o", "all")
    assert code == 3 and "the study made is being run by" in err
    assert call("merge", "a", "-o", "all")[0] == 0 and len(runs_in(here / "all" / "made")) == 2


def test_a_run_that_appears_during_the_merge_is_not_overwritten(here: Path) -> None:
    write_study(here / "a", LION)
    plans = join.plan_merge([here / "a"], here / "all", ())
    there = write_run(here / "all" / "made", "lion", "final", 1000, 0, 0.1, "max")
    with pytest.raises(StorageError, match="appeared"):
        join.merge(plans, here / "all", TransferMode.COPY)
    assert json.loads((there / "result.json").read_text())["final"]["val_metric"] == 0.1
