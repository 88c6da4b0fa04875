"""All workloads together: scores in words, who is not trained where, and the order without one workload."""

from __future__ import annotations

from pathlib import Path

from made_runs import write_study

from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.content import Across
from optbench.reports.read.reading import read

VIT = {"muon": [0.95, 0.96, 0.95], "adamw": [0.90, 0.91, 0.90], "sgd": [0.60, 0.62, 0.61]}
LM = {"muon": [0.85, 0.86, 0.85], "adamw": [0.80, 0.81, 0.80], "sgd": [0.1, 0.11, 0.09]}
SAME = {"muon": [0.8, 0.9], "adamw": [0.9, 0.8], "sgd": [0.85, 0.86]}


def together(root: Path, *workloads: dict[str, list[float]], trivial: float | None = 0.1) -> Across:
    for number, finals in enumerate(workloads):
        write_study(root, finals, study=f"study-{number}", data_name=f"d{number}", trivial=trivial)
    found = build(read(root), ReportOptions(records=False)).across
    assert found is not None
    return found


def test_the_best_comes_first_by_score_and_a_contender_that_did_not_learn_scores_0(tmp_path: Path) -> None:
    found = together(tmp_path, VIT, LM)
    assert [one.contender for one in found.scores] == ["muon", "adamw", "sgd"]
    sgd = found.scores[2]
    assert (sgd.minimum, sgd.weakest) == (0.0, "made-d1") and sgd.mean.value is not None and sgd.mean.value < 0.35
    assert found.scores[0].mean.value == 1.0 and found.scores[0].mean.high == 1.0
    assert found.answer[0].startswith("Over 2 workloads muon comes first: score 1.00, P(best) 100%.")
    assert found.answer[-1] == "sgd is not trained on made-d1."
    assert "Without" not in " ".join(found.answer)


def test_without_one_workload_the_first_of_a_tie_is_not_another(tmp_path: Path) -> None:
    """All three tie on two workloads and muon is ahead on one: by rank nobody else is first without that one."""
    found = together(tmp_path, VIT, SAME, SAME)
    assert "Over 3 workloads muon has the best mean rank (1.67)." in found.answer
    assert not any("another contender would be first" in line for line in found.answer)


def test_the_order_by_score_without_each_workload(tmp_path: Path) -> None:
    other = {"muon": [0.6, 0.61, 0.6], "adamw": [0.7, 0.71, 0.7], "sgd": [0.3, 0.31, 0.3]}
    found = together(tmp_path, VIT, other)
    assert found.left_out_by == "score"
    first, second = found.leave_one_out
    assert (first.without, first.order[0], first.values[0]) == ("made-d0", "adamw", 1.0)
    assert (second.without, second.order[0], second.values[0]) == ("made-d1", "muon", 1.0)
    leader = found.scores[0].contender
    changed = first.without if leader == "muon" else second.without
    assert f"Without {changed} {'adamw' if leader == 'muon' else 'muon'} would lead." in found.answer


def test_workloads_on_which_nobody_learned_are_in_no_score(tmp_path: Path) -> None:
    nobody = {name: [0.1, 0.09, 0.1] for name in VIT}
    found = together(tmp_path, VIT, nobody)
    assert found.note.startswith("No scores on made-d1: nobody is shown to beat the trivial answer")
    assert found.scores[0].mean.value == 1.0
    assert not any("score" in line for line in found.answer), "one workload says nothing of two"
    none = together(tmp_path / "none", nobody, nobody)
    assert all(one.mean.value is None for one in none.scores)
    assert none.answer[0] == "Over 2 workloads no contender has a better mean rank than the others."


def test_a_contender_without_results_on_a_workload_is_in_no_comparison_over_all(tmp_path: Path) -> None:
    found = together(tmp_path, VIT, LM | {"muon": []}, LM | {"muon": []})
    among = "Over 3 workloads, among adamw and sgd, adamw comes first"
    assert found.answer[0].startswith(among)
    assert not any("mean rank" in line for line in found.answer)


def test_without_a_trivial_answer_the_note_says_what_0_is(tmp_path: Path) -> None:
    found = together(tmp_path, VIT, LM, trivial=None)
    assert "The trivial answer is unknown on made-d0 and made-d1: 0 is the worst contender's mean there." in found.note
