"""`optbench compare`: verdicts from run folders, refusals, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Call
from made_runs import write_run, write_study

from optbench.errors import ConfigError, NoResultsError
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.comparable import check_kinds, check_tuning
from optbench.reports.read.reading import read
from optbench.reports.statistics.verdicts import Margin

GOOD, BAD = [0.90, 0.91, 0.89, 0.90, 0.90], [0.50, 0.51, 0.49, 0.50, 0.50]
TUNING = {"good": [0.9, 0.1, 0.2], "bad": [0.5, 0.1, 0.2], "same": [0.9, 0.1, 0.2]}


def test_the_better_one_is_named_first(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    code, out, _ = call("compare", "bad", "good", study)
    assert code == 0
    assert out.startswith("made-up: good is better than bad by 0.4\n")
    assert "(bad \u2212 good)" in out
    code, out, _ = call("compare", "bad", "good", study, "--json")
    found = json.loads(out)["workloads"][0]
    assert (code, found["verdict"], found["rows"][0]["contender"]) == (0, "worse", "good")
    assert found["pair"]["difference"]["value"] == pytest.approx(-0.4)
    assert (found["pair"]["a"], found["pair"]["b"]) == ("bad", "good")


def test_the_verdict_and_the_seeds_are_those_of_the_report(tmp_path: Path, call: Call) -> None:
    near, wide = [0.92, 0.90, 0.93, 0.88, 0.91], [0.5, 0.7, 0.6, 0.65, 0.8]
    study = write_study(tmp_path, {"good": GOOD, "near": near, "wide": wide, "bad": BAD})
    pairs = json.loads(call("report", study, "--json")[1])["workloads"][0]["pairs"]
    assert any(pair["more_seeds"] for pair in pairs)
    for pair in pairs:
        for a, b in ((pair["a"], pair["b"]), (pair["b"], pair["a"])):
            code, out, _ = call("compare", a, b, study, "--json")
            found = json.loads(out)["workloads"][0]["pair"]
            assert code == 0 and (found["a"], found["b"]) == (a, b)
            for key in ("adjusted_p", "more_seeds", "sentence", "evidence"):
                assert found[key] == pair[key]
            turned = {"better": "worse", "worse": "better"} if a != pair["a"] else {}
            assert found["verdict"] == turned.get(pair["verdict"], pair["verdict"])


def test_turning_a_pair_twice_changes_nothing(tmp_path: Path) -> None:
    pair = build(read(write_study(tmp_path, {"good": GOOD, "bad": BAD})), ReportOptions()).workloads[0].pairs[0]
    turned = pair.of(pair.b)
    assert pair.of(pair.a) is pair and turned.of(pair.a) == pair
    assert turned.difference.value == -(pair.difference.value or 0) and turned.difference.low == -(
        pair.difference.high or 0
    )
    assert (turned.verdict, turned.improvement.value) == ("worse", 1 - (pair.improvement.value or 0))
    assert turned.effect == -(pair.effect or 0)


def test_of_several_studies_those_with_both_are_compared(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "results", {"good": GOOD, "bad": BAD}, study="one")
    write_study(tmp_path / "results", {"good": GOOD, "same": GOOD}, study="two")
    write_study(tmp_path / "results", {"good": BAD, "bad": GOOD}, study="three")
    tree = json.loads(call("compare", "good", "bad", "--json")[1])
    assert [(one["study"], one["verdict"]) for one in tree["workloads"]] == [("one", "better"), ("three", "worse")]
    _, out, _ = call("compare", "good", "bad")
    assert "one: made-up: good is better than bad" in out and "three: made-up: bad is better than good" in out
    tree = json.loads(call("compare", "good", "bad", "one", "--json")[1])
    assert [one["study"] for one in tree["workloads"]] == ["one"]
    assert call("compare", "same", "bad")[0] == 5
    code, _, err = call("compare", "good", "bad", "--assert", "good > bad")
    assert code == 3 and "three: made-up: worse" in err


def test_of_losses_the_smaller_is_better(tmp_path: Path) -> None:
    losses = {"good": [1.0, 1.1, 0.9], "bad": [3.0, 3.1, 2.9]}
    study = write_study(tmp_path, losses, tuning={"good": [1.0, 9.0], "bad": [3.0, 9.0]}, direction="min")
    workload = build(read(study), ReportOptions()).workloads[0]
    assert [row.contender for row in workload.rows] == ["good", "bad"]
    assert [(row.rank_low, row.rank_high) for row in workload.rows] == [(1, 1), (2, 2)]
    assert workload.pairs[0].difference.value == pytest.approx(-2.0)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("good > bad", 0),
        ("good >= bad", 0),
        ("bad<good", 0),
        ("bad <= good", 0),
        ("bad >= good", 3),
        ("good == bad", 3),
    ],
)
def test_an_assertion_is_an_exit_code(text: str, code: int, tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    found, out, err = call("compare", "good", "bad", study, "--assert", text)
    assert (found, out != "", "is not shown" in err) == (code, True, code == 3)


def test_a_tie_is_enough_for_at_least(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "same": GOOD}, tuning=TUNING)
    words = ("compare", "good", "same", study, "--margin", "0.05", "--assert")
    assert call(*words, "good >= same")[0] == call(*words, "good == same")[0] == 0
    assert call(*words, "good > same")[0] == 3
    strict = call("compare", "good", "same", study, "--margin", "0.0001", "--assert", "good >= same")
    assert strict[0] == 3  # undecided is no tie


def test_ties_and_undecided_pairs_share_ranks(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "same": GOOD, "bad": BAD}, tuning=TUNING)
    workload = build(read(study), ReportOptions(margin=Margin(0.05, relative=False))).workloads[0]
    assert [(row.rank_low, row.rank_high) for row in workload.rows] == [(1, 2), (1, 2), (3, 3)]
    assert workload.answer[0] == "made-up: use good or same: they are equal within the margin."


def test_seeds_that_failed_are_counted_and_listed(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": [None] * 5}, tuning=TUNING)
    report = build(read(study), ReportOptions())
    assert report.workloads[0].rows[1].failed == 5 and report.workloads[0].pairs[0].verdict == "better"
    assert len(report.failures) == 5 and report.failures[0].reason == "the loss is nan"


@pytest.mark.parametrize(
    ("kind", "change"), [("data", {"data": "e" * 64}), ("budgets", {"steps": 200}), ("versions", {"commit": "f" * 40})]
)
def test_differences_are_refused_without_mix(kind: str, change: dict, tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    write_run(study, "bad", "final", 1000, 0, 0.5, "max", **change)
    code, _, err = call("compare", "good", "bad", study)
    assert code == 2 and f"--mix {kind}" in err
    code, out, _ = call("compare", "good", "bad", study, "--mix", kind)
    assert code == 0 and f"mixed on request: made-up: runs of different {kind}" in out


@pytest.mark.parametrize(("evaluations", "alike"), [(100, True), (102, True), (50, False), (150, False)])
def test_budgets_are_compared_in_gradient_evaluations(tmp_path: Path, evaluations: int, alike: bool) -> None:
    for seed in range(5):
        write_run(tmp_path / "study", "once", "final", 1000 + seed, 0, 0.9, "max", evaluations=100)
        write_run(tmp_path / "study", "twice", "final", 1000 + seed, 0, 0.5, "max", steps=50, evaluations=evaluations)
    results = read(tmp_path / "study")
    if alike:
        assert build(results, ReportOptions()).workloads[0].pairs[0].verdict == "better"
    else:
        with pytest.raises(ConfigError, match="different budgets: 100 steps of 8; 50 steps of 8"):
            build(results, ReportOptions())


@pytest.mark.parametrize(("samples", "alike"), [(28_776, True), (28_800, True), (14_400, False), (0, False)])
def test_tuning_budgets_may_differ_by_rounding(samples: int, alike: bool) -> None:
    spent = {"adamw": (6, 28_800.0), "sophia_g": (6, float(samples))}
    if alike:
        assert check_tuning("text", spent, (), allowed=False) == ()
    else:
        with pytest.raises(ConfigError, match="text: unequal tuning: adamw 6 trials, 28,800 samples"):
            check_tuning("text", spent, (), allowed=False)


def test_times_of_runs_that_waited_for_a_core_are_marked(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    for seed, share in ((1000, 0.4), (1001, 0.02)):
        (file,) = study.glob(f"bad-final-*-s{seed}/result.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"throughput": {"core_wait_share": share}}))
    report = build(read(study), ReportOptions())
    (said,) = [line for line in report.assumptions if "waited for a core" in line]
    assert "1 of " in said and "up to 40%" in said
    assert {one.contender: one.shared_device for one in report.workloads[0].resources} == {"good": False, "bad": True}


def test_metrics_of_different_hardware_are_compared_and_times_are_not(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    write_run(study, "bad", "final", 1000, 0, 0.5, "max", cpu="another cpu")
    assert any("times are left out" in line for line in build(read(study), ReportOptions()).assumptions)
    mixed = build(read(study), ReportOptions(mix=check_kinds(["hardware"]))).mixed
    assert mixed == ("made-up: times of different hardware: a cpu x 2; another cpu x 2",)


def test_damaged_files_are_listed_and_left_out(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    runs = len(read(study).runs)
    damage = {
        "torn": '{"schema": 1, "run',
        "empty": "",
        "list": "[]",
        "newer": '{"schema": 99}',
        "poor": '{"schema": 1}',
    }
    for name, text in damage.items():
        (study / name).mkdir()
        (study / name / "run.json").write_text(text)
    (study / "latin").mkdir()
    (study / "latin" / "run.json").write_bytes(b"\xff\xfe{")
    words = study / "words"
    write_run(study, "good", "tune", 5, 0, 0.9, "max").rename(words)
    result = json.loads((words / "result.json").read_text())
    (words / "result.json").write_text(json.dumps({**result, "final": {"val_metric": "high"}}))
    (study / "notes.ipynb").write_text("{}")
    (study / "empty folder").mkdir()
    (study / ".hidden").mkdir()
    twin = study / "twin"
    twin.mkdir()
    for file in (study / "good-final-0-s1000").iterdir():
        (twin / file.name).write_bytes(file.read_bytes())
    found = read(study)
    assert len(found.runs) == runs
    assert {Path(path).name for path, _ in found.skipped} == {*damage, "latin", "words", "twin"}


def test_a_run_that_has_not_ended_is_open_and_a_torn_result_is_listed(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    (study / "bad-final-0-s1004" / "result.json").unlink()
    (study / "bad-final-0-s1003" / "result.json").write_text('{"sche')
    report = build(read(study), ReportOptions())
    assert (report.open_runs, len(report.skipped), report.workloads[0].rows[1].test.n) == (1, 1, 3)


def test_a_damaged_study_json_loses_names_but_no_runs(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    (study / "study.json").write_text('{"cells"')
    found = read(study)
    assert found.skipped[0][0] == "made/study.json" and {run["contender"] for run in found.runs} == {"good", "bad"}


def test_an_empty_folder_has_no_results(tmp_path: Path) -> None:
    with pytest.raises(NoResultsError, match="No results in"):
        read(tmp_path)
    write_study(tmp_path, {"good": GOOD})
    with pytest.raises(NoResultsError, match=r"Did you mean .*made"):
        read(tmp_path / "mode")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["good", "bat"], 5, "Did you mean bad?"),
        (["good", "good"], 2, "good and good are the same contender"),
        (["good", "bad", "--margin", "much"], 2, "--margin much"),
        (["good", "bad", "--assert", "good"], 2, "--assert good"),
        (["good", "bad", "--assert", "good > other"], 2, "must be about good and bad"),
        (["good", "bad", "--mix", "seeds"], 2, "--mix: unknown kind 'seeds'"),
    ],
)
def test_a_mistake_gets_one_clear_error(words: list[str], code: int, text: str, tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning=TUNING)
    found, out, err = call("compare", words[0], words[1], study, *words[2:])
    assert (found, out) == (code, "") and text in err


def test_kinds_to_mix_are_known() -> None:
    assert check_kinds(["data", "hardware"]) == {"data", "hardware"}
    with pytest.raises(ConfigError, match="--mix: unknown kind 'time'"):
        check_kinds(["time"])


def test_unequal_tuning_is_refused_unless_asked_for(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning={"good": [0.9, 0.1, 0.2], "bad": [0.5]})
    code, out, err = call("compare", "good", "bad", study)
    assert (code, out) == (2, "")
    assert "unequal tuning: bad 1 trials, 800 samples; good 3 trials, 2,400 samples" in err
    code, out, _ = call("compare", "good", "bad", study, "--mix", "budgets")
    assert code == 0 and "mixed on request: made-up: unequal tuning" in out
    tree = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps(tree | {"settings": {"allow_unequal": True}}))
    code, out, _ = call("compare", "good", "bad", study)
    assert code == 0 and "unequal tuning" in out


def test_unequal_tuning_is_accepted_in_a_running_study(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning={"good": [0.9, 0.1, 0.2], "bad": [0.5]})
    tree = json.loads((study / "study.json").read_text())
    tree["cells"][1]["stage"] = "tune"
    (study / "study.json").write_text(json.dumps(tree))
    assert build(read(study), ReportOptions()).mixed == ()


def test_two_evaluations_a_step_count_twice(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning={"good": [0.9, 0.1], "bad": [0.5, 0.1]})
    tree = json.loads((study / "study.json").read_text())
    tree["cells"][1]["evaluations_per_step"] = 2.0
    (study / "study.json").write_text(json.dumps(tree))
    with pytest.raises(ConfigError, match=r"bad 2 trials, 3,200 samples; good 2 trials, 1,600"):
        build(read(study), ReportOptions())


def test_final_runs_of_an_earlier_winner_are_left_out(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning={"good": [0.9, 0.1], "bad": [0.5, 0.1]})
    for seed in (1000, 1001):
        write_run(study, "good", "final", seed, 1, 0.1, "max")
    report = build(read(study), ReportOptions())
    rows = {row.contender: row for row in report.workloads[0].rows}
    assert rows["good"].values == tuple(GOOD)
    assert any("2 final runs of good are left out" in line for line in report.assumptions)
