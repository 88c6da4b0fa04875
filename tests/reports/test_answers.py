"""The answer in words, and the order of the leaderboard: who learned, who waits, who failed, who ties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Call
from made_runs import write_run, write_study

from optbench.errors import ConfigError
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.content import Workload
from optbench.reports.read.reading import read

GOOD, BAD = [0.90, 0.91, 0.89, 0.90, 0.90], [0.50, 0.51, 0.49, 0.50, 0.50]


def made(study: Path) -> Workload:
    return build(read(study), ReportOptions(records=False)).workloads[0]


def change_cells(study: Path, **changes: Any) -> None:
    """Change the cells of study.json, by label."""
    tree = json.loads((study / "study.json").read_text())
    for cell in tree["cells"]:
        cell.update(changes.get(cell["label"], {}))
    (study / "study.json").write_text(json.dumps(tree))


def test_at_the_level_of_the_trivial_answer_nobody_is_recommended(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"lion": [0.5, 0.5], "adamw": [0.5, 0.5]}, trivial=0.5, scale="share", samples=360)
    found = made(study)
    assert [row.trained for row in found.rows] == [False, False]
    assert found.answer == ("made-up: nobody learned: no contender is shown to beat the trivial answer (score 0.5).",)
    assert found.pairs[0].verdict == "undecided"
    for relation in (">=", "==", ">"):
        assert call("compare", "lion", "adamw", study, "--assert", f"lion {relation} adamw")[0] == 3


def test_equal_values_of_many_seeds_at_the_trivial_answer_are_no_tie(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"lion": [0.5] * 9, "adamw": [0.5] * 9}, trivial=0.5, scale="share", samples=360)
    assert made(study).pairs[0].verdict == "undecided"
    assert call("compare", "lion", "adamw", study, "--margin", "0.2", "--assert", "lion >= adamw")[0] == 3


def test_one_untrained_optimizer_is_not_better_than_another(tmp_path: Path, call: Call) -> None:
    study = write_study(tmp_path, {"lion": [0.4, 0.41, 0.4], "adamw": [0.1, 0.11, 0.1]}, trivial=0.5)
    assert made(study).pairs[0].verdict == "undecided"
    assert call("compare", "lion", "adamw", study, "--assert", "lion > adamw")[0] == 3


def test_who_is_not_trained_is_last_and_said_first(tmp_path: Path) -> None:
    finals = {"adamw": GOOD, "lion": [0.9, 0.1, 0.1, 0.1, 0.1], "sgd": [0.1, 0.12, 0.11, 0.09, 0.1], "late": [None] * 5}
    found = made(write_study(tmp_path, finals, trivial=0.1))
    assert [row.contender for row in found.rows] == ["adamw", "lion", "sgd", "late"]
    assert [row.trained for row in found.rows] == [True, False, False, False]
    assert [(row.rank_low, row.rank_high) for row in found.rows] == [(1, 1), (2, 4), (2, 4), (2, 4)]
    assert found.answer[0] == (
        "made-up: lion and sgd are not trained: not shown to beat the trivial answer (score 0.1)."
    )
    assert found.answer[1].startswith("made-up: use adamw. It beats")
    assert found.answer[-1] == "made-up: all 5 final seeds of late failed."
    assert (found.trivial, found.scale) == (0.1, "real")


def test_a_contender_that_alone_learned_is_recommended_for_that(tmp_path: Path) -> None:
    """The spread of the other is so large that no difference is significant."""
    study = write_study(tmp_path, {"adamw": [0.5, 0.51], "lion": [0.0, 0.8]}, trivial=0.1)
    assert made(study).answer[1] == "made-up: use adamw: no other contender is shown to beat the trivial answer."


def test_without_final_seeds_nobody_is_first(tmp_path: Path) -> None:
    finals = {"a": [], "b": [0.9], "c": [None]}
    study = write_study(tmp_path, finals, tuning={"a": [0.5], "b": [0.9], "c": [0.1]}, settings={"seeds": 3})
    change_cells(study, a={"stage": "tuned"}, b={"stage": "final"}, c={"stage": "final"})
    found = made(study)
    assert [(row.contender, row.rank_low, row.rank_high, row.waiting) for row in found.rows] == [
        ("b", 1, 3, 2),
        ("a", 1, 3, 3),
        ("c", 1, 3, 2),
    ]
    assert found.answer == (
        "made-up: no verdict: b has one result.",
        "made-up: waiting for final runs: b (1 of 3 ended), a (0 of 3 ended) and c (1 of 3 ended).",
        "made-up: the only final seed of c failed.",
    )


def test_who_has_no_final_runs_to_wait_for_is_said(tmp_path: Path) -> None:
    """Every trial of it failed, so that nothing was run again."""
    finals = {"good": GOOD, "lost": []}
    found = made(write_study(tmp_path, finals, tuning={"good": [0.9, 0.1], "lost": [None, None]}))
    assert found.answer == (
        "made-up: only good has results (n = 5); there is nothing to compare it with yet.",
        "made-up: lost has no final runs.",
    )


def test_open_runs_wait_without_a_study_file_too(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD})
    (study / "bad-final-0-s1004" / "result.json").unlink()
    (study / "study.json").unlink()
    found = made(study)
    assert [row.waiting for row in found.rows] == [0, 1]
    assert found.answer[0].startswith("made-up: so far good beats bad in score")


def test_one_result_against_many_is_no_verdict(tmp_path: Path) -> None:
    found = made(write_study(tmp_path, {"good": [0.99], "bad": BAD}))
    assert [row.contender for row in found.rows] == ["bad", "good"]
    assert found.answer == ("made-up: good has one result: no verdict yet.",)
    found = made(write_study(tmp_path, {"good": [0.99], "bad": [0.5]}, study="other"))
    assert found.answer == ("made-up: no verdict: good and bad have one result each.",)


def test_fewer_failed_seeds_come_before_a_better_mean(tmp_path: Path) -> None:
    found = made(write_study(tmp_path, {"safe": [0.8, 0.81, 0.79], "wild": [0.9, 0.91, None]}))
    assert [row.contender for row in found.rows] == ["safe", "wild"]
    assert found.answer == ("made-up: safe has the fewest failed seeds; its lead over wild is not significant.",)


def test_whom_others_beat_is_said_positively(tmp_path: Path) -> None:
    finals = {"soap": [0.90, 0.91, 0.90, 0.92, 0.90], "muon": [0.90, 0.91, 0.90, 0.91, 0.91], "adamw": BAD}
    assert made(write_study(tmp_path, finals)).answer == (
        "made-up: muon has the best mean; its lead over soap is not significant (8 more seeds each would decide).",
        "made-up: muon beats adamw in score (false alarms in at most 5% of studies).",
        "made-up: soap beats adamw.",
    )


def test_failures_of_the_recommended_one_are_said(tmp_path: Path) -> None:
    found = made(write_study(tmp_path, {"good": [*GOOD, None], "bad": [*BAD[:5], None]}))
    assert found.answer[0].startswith("made-up: use good (1 of 6 seeds failed). It beats bad in score")


def test_a_lead_over_an_undertuned_contender_does_not_count(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD}, tuning={"good": [0.9, 0.1], "bad": [0.5, 0.1]})
    change_cells(study, bad={"edges": [["optimizer.lr", "high"]]})
    found = made(study)
    assert found.answer == ("made-up: good leads bad, but bad is undertuned.",)
    assert sum("undertuned" in line for line in found.warnings) == 1
    change_cells(study, bad={"edges": []}, good={"edges": [["optimizer.lr", "high"]]})
    assert made(study).answer[0].startswith("made-up: use good (undertuned). It beats bad")


def test_what_one_contender_alone_was_given_is_said(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"good": GOOD, "bad": BAD})
    words = ["betas=[0.5, 0.999] (recipe dcgan-digits-adamw)"]
    for seed in range(1000, 1005):
        write_run(study, "good", "final", seed, 0, 0.9, "max", given=words)
    report = build(read(study), ReportOptions(records=False))
    assert f"good alone was given {words[0]}." in report.workloads[0].warnings
    assert f"made-up: good alone was given {words[0]}" in report.assumptions


def test_paired_studies_are_compared_by_seed(tmp_path: Path) -> None:
    base = [0.5, 0.6, 0.7, 0.8, 0.9]
    finals = {"good": [value + 0.02 + 0.001 * (i % 2) for i, value in enumerate(base)], "bad": base}
    assert made(write_study(tmp_path, finals)).pairs[0].verdict == "undecided"
    paired = write_study(tmp_path, finals, study="paired", settings={"paired": True})
    assert made(paired).pairs[0].verdict == "better"


def write_losses(study: Path, losses: dict[str, list[float]]) -> None:
    """Write final seeds of equal accuracy with these test losses."""
    for name, own in losses.items():
        for seed, loss in enumerate(own):
            write_run(study, name, "final", 1000 + seed, 0, 0.9, "max", scale="share", samples=360, loss=loss)


def test_the_test_loss_decides_what_accuracy_leaves_open(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"lion": [0.9] * 5, "adamw": [0.9] * 5})
    write_losses(study, {"lion": [0.20, 0.21, 0.20, 0.19, 0.20], "adamw": [0.40, 0.41, 0.40, 0.39, 0.40]})
    found = made(study)
    assert found.pairs[0].verdict == "undecided"  # two binomial errors of 360 images are 0.032
    assert len(found.loss_pairs) == 1 and found.rows[0].loss.value == pytest.approx(0.4)
    assert found.answer[-1].startswith("made-up: by log test loss lion beats adamw (p = ")
    assert found.answer[0].startswith("made-up: adamw has the best mean; its lead over lion is not significant")
    write_losses(study, {"lion": [0.20, 0.21, 0.20, 0.19, 0.0]})
    assert made(study).loss_pairs == ()  # a loss of 0 has no logarithm


def test_the_selection_of_the_winner_counts_in_the_loss(tmp_path: Path) -> None:
    """Trials that could have won differ by a factor of two in their loss."""
    finals = {"lion": [0.90, 0.91, 0.90, 0.92, 0.90], "adamw": [0.90, 0.91, 0.92, 0.90, 0.91]}
    study = write_study(tmp_path, finals, tuning=dict.fromkeys(finals, (0.90, 0.91, 0.92, 0.91)))
    losses = {"lion": [0.20, 0.21, 0.20, 0.19, 0.20], "adamw": [0.24, 0.25, 0.24, 0.23, 0.24]}
    for name, own in losses.items():
        for seed, (value, loss) in enumerate(zip(finals[name], own, strict=True)):
            write_run(study, name, "final", 1000 + seed, 2, value, "max", scale="share", samples=360, loss=loss)
    assert made(study).loss_pairs[0].verdict != "undecided"
    for name in finals:
        for trial, (value, loss) in enumerate([(0.90, 0.2), (0.91, 0.4), (0.92, 0.2), (0.91, 0.4)]):
            write_run(study, name, "tune", 0, trial, value, "max", scale="share", samples=360, loss=loss)
    assert made(study).loss_pairs[0].verdict == "undecided"


def test_other_metrics_have_no_verdict_by_loss(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"lion": GOOD, "adamw": BAD}, scale="positive", loss=0.5)
    assert made(study).loss_pairs == () and made(study).rows[0].loss.value is None


def test_plain_runs_of_other_budgets_are_workloads_of_their_own(tmp_path: Path) -> None:
    study = tmp_path / "runs"
    for steps in (100, 200):
        for name in ("lion", "adamw"):
            for seed in range(2):
                folder = write_run(study, name, "", seed + steps, 0, 0.9, "max", steps=steps)
                run = json.loads((folder / "run.json").read_text())
                (folder / "run.json").write_text(json.dumps(run | {"stage": "", "sweep": {}}))
    report = build(read(study), ReportOptions(records=False))
    assert [workload.name for workload in report.workloads] == ["made-up steps=100", "made-up steps=200"]
    assert {run.workload for run in report.runs} == {"made-up steps=100", "made-up steps=200"}
    assert [workload.steps for workload in report.workloads] == [100, 200]
    mixed = build(read(study), ReportOptions(records=False, mix=frozenset({"budgets"})))
    assert [workload.name for workload in mixed.workloads] == ["made-up"]


def test_studies_of_other_budgets_are_not_compared_and_unequal_ones_refused(tmp_path: Path) -> None:
    for study, steps in (("short", 100), ("long", 300)):
        for name, value in (("lion", 0.9), ("adamw", 0.5)):
            for seed in range(3):
                write_run(tmp_path / study, f"{name}", "final", steps + seed, 0, value, "max", steps=steps)
    report = build(read(tmp_path), ReportOptions(records=False))
    assert [workload.name for workload in report.workloads] == ["made-up steps=100", "made-up steps=300"]
    write_run(tmp_path / "short", "adamw", "final", 9, 0, 0.5, "max", steps=200)
    with pytest.raises(ConfigError, match="runs of different budgets"):
        build(read(tmp_path), ReportOptions(records=False))


@pytest.mark.parametrize("names", [("good",), ("good", "bad")])
def test_without_any_result_the_answer_says_so(tmp_path: Path, names: tuple[str, ...]) -> None:
    study = write_study(tmp_path, {name: [None, None] for name in names})
    assert made(study).answer[0] == "made-up: no run has a result."
    assert all((row.rank_low, row.rank_high) == (1, len(names)) for row in made(study).rows)
