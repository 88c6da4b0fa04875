"""Scores of times to target: published figures, and properties against brute force."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import Call
from hypothesis import given
from hypothesis import strategies as st

from optbench.reports.algoperf.score_table import score_table
from optbench.reports.algoperf.timetable import TimeTable, read_table
from optbench.reports.statistics import scoring

PUBLISHED = Path(__file__).with_name("algoperf_v05.csv")  # AlgoPerf v0.5, external tuning: medians of five studies
TRAPEZOID = {"shampoo_submission": 0.7784, "schedule_free_adamw": 0.7077, "baseline": 0.5707}
EXACT = {"schedule_free_adamw": 0.7062, "lawa_ema": 0.3378}
# The self-tuning leaderboard after v0.6, without held-out variants: time_to_targets_00pct.csv and
# scores_and_coverage.csv of the technical report in mlcommons/submissions_algorithms.
LATER = Path(__file__).with_name("algoperf_after_v06.csv")
LATER_SCORES = {
    "AdEMAMix (PyTorch)": 0.5190796857463527,
    "Cautious NAdamW (JAX)": 0.31425364758698043,
    "Lion (PyTorch)": 0.27833894500561146,
    "Muon (JAX)": 0.2845117845117842,
    "Muon (PyTorch)": 0.4231200897867556,
    "NAdamW (JAX)": 0.384399551066217,
    "NAdamW (Baseline AlgoPerf v0.5) (JAX)": 0.4506172839506181,
    "NAdamW (Tuned for ResNet) (JAX)": 0.18574635241301896,
    "Schedule-Free AdamW (PyTorch)": 0.466891133557801,
    "Schedule-Free AdamW (JAX)": 0.4107744107744111,
    "Schedule-Free AdamW v2 (JAX)": 0.4405162738496074,
    "Schedule-Free AdamW v2 (PyTorch)": 0.5679012345679016,
    "Single Worker DiLoCo (JAX)": 0.1369248035914701,
    "Single Worker DiLoCo v2 (JAX)": 0.1301907968574634,
}
# The same leaderboard with every submission and study: results/scores.csv of commit 46e69f1b of that repository (branch
# a100_scoring). Their code and ours differ in nothing that shows here: it takes each study's trial by evaluation index
# (one trial a study here) and drops trials without an evaluation (five; no median changes), and both take the median of
# whatever studies there are and count a workload that a submission lacks as not reached.
A100 = Path(__file__).with_name("algoperf_a100.csv")
A100_SCORES = {
    "ademamix": 0.5190796857463527,
    "cautious_nadamw": 0.31425364758698043,
    "lion": 0.27833894500561146,
    "muon": 0.2845117845117842,
    "muon_torch": 0.4231200897867556,
    "muon_torch_jax_hps_lr_fix": 0.31369248035914665,
    "muon_torch_replicated_jax_hps": 0.29685746352412984,
    "muon_torch_replicated_torch_hps": 0.3827160493827153,
    "nadamw": 0.384399551066217,
    "nadamw_baselinev05": 0.4506172839506181,
    "nadamw_resnet": 0.18574635241301896,
    "schedule_free_adamw": 0.466891133557801,
    "schedule_free_adamw_jax": 0.4107744107744111,
    "schedule_free_adamw_jax_v2": 0.4405162738496074,
    "schedule_free_adamw_v2": 0.5679012345679016,
    "single_worker_diloco": 0.1369248035914701,
    "single_worker_dilocov2": 0.1301907968574634,
}
A100_NAMES = {  # of that table, by those of the technical report
    "AdEMAMix (PyTorch)": "ademamix",
    "Cautious NAdamW (JAX)": "cautious_nadamw",
    "Lion (PyTorch)": "lion",
    "Muon (JAX)": "muon",
    "Muon (PyTorch)": "muon_torch",
    "NAdamW (JAX)": "nadamw",
    "NAdamW (Baseline AlgoPerf v0.5) (JAX)": "nadamw_baselinev05",
    "NAdamW (Tuned for ResNet) (JAX)": "nadamw_resnet",
    "Schedule-Free AdamW (PyTorch)": "schedule_free_adamw",
    "Schedule-Free AdamW (JAX)": "schedule_free_adamw_jax",
    "Schedule-Free AdamW v2 (JAX)": "schedule_free_adamw_jax_v2",
    "Schedule-Free AdamW v2 (PyTorch)": "schedule_free_adamw_v2",
    "Single Worker DiLoCo (JAX)": "single_worker_diloco",
    "Single Worker DiLoCo v2 (JAX)": "single_worker_dilocov2",
}


def test_the_published_scores_are_reproduced(call: Call) -> None:
    found = score_table(read_table(PUBLISHED), trapezoid=True)
    scores = {row.submission: row.score for row in found.rows}
    for name, published in TRAPEZOID.items():
        assert round(scores[name], 4) == published
    exact = {row.submission: row.score for row in score_table(read_table(PUBLISHED)).rows}
    for name, figure in EXACT.items():
        assert round(exact[name], 4) == figure
    code, out, _ = call("score", PUBLISHED, "--trapezoid", "--json")
    assert code == 0
    assert {r["submission"]: r["score"] for r in json.loads(out)["rows"]} == scores


def test_the_scores_of_a_later_leaderboard_are_reproduced() -> None:
    found = score_table(read_table(LATER), trapezoid=True)
    assert found.held_out == {}
    assert {row.submission: row.score for row in found.rows} == pytest.approx(LATER_SCORES, abs=1e-12)
    assert [(row.solved, row.of) for row in found.rows[:2]] == [(6, 9), (6, 9)]


def test_every_score_of_the_a100_leaderboard_is_reproduced(call: Call) -> None:
    code, out, _ = call("score", A100, "--trapezoid", "--json")
    found = json.loads(out)
    assert code == 0 and len(A100_SCORES) == 17
    assert {row["submission"]: row["score"] for row in found["rows"]} == pytest.approx(A100_SCORES, abs=1e-12)
    assert [row["rank"] for row in found["rows"]] == list(range(1, 18))
    assert {row["of"] for row in found["rows"]} == {9} and found["held_out"] == {}


def test_its_medians_are_the_published_times() -> None:
    mine, published = read_table(A100), read_table(LATER)
    cells = [own for row in mine.studies.values() for own in row.values()]
    assert {len(own) for own in cells} == {1, 2, 3} and sum(map(len, cells)) == 451
    assert published.times == {
        name: {w: pytest.approx(time, rel=1e-12) for w, time in mine.times[own].items()}
        for name, own in A100_NAMES.items()
    }


def independent(table: TimeTable) -> dict[str, float]:
    """AlgoPerf's steps in numpy, as its scoring code takes them."""
    names = list(table.studies)
    times = np.array([[np.median(table.studies[name][w]) for w in table.workloads] for name in names])
    fastest = times.min(axis=0)
    times[times > 4 * fastest] = np.inf
    with np.errstate(invalid="ignore"):
        ratios = times / times.min(axis=0)
    taus = np.linspace(1.0, 4.0, 100)
    heights = (ratios[:, :, None] <= taus).sum(axis=1) / len(table.workloads)
    return dict(zip(names, map(float, np.trapezoid(heights, taus, axis=1) / 3), strict=True))


def test_algoperf_s_steps_give_the_same_scores() -> None:
    table = read_table(A100)
    assert independent(table) == pytest.approx(A100_SCORES, abs=1e-12)
    some = TimeTable({name: row for name, row in table.studies.items() if "muon" in name or "lion" in name})
    mine = {row.submission: row.score for row in score_table(some, trapezoid=True).rows}
    assert mine == pytest.approx(independent(some), abs=1e-12)


def test_two_workloads_decide_who_is_first_on_a100(call: Call) -> None:
    first = {row.without: row.order[0] for row in score_table(read_table(A100), trapezoid=True).leave_one_out}
    best = "schedule_free_adamw_v2"
    assert {w: name for w, name in first.items() if name != best} == {
        "librispeech_conformer": "schedule_free_adamw",
        "librispeech_deepspeech": "ademamix",
    }
    _, out, _ = call("score", A100, "--trapezoid")
    assert f"without librispeech_conformer: schedule_free_adamw is first (0.525 against 0.520 of {best})" in out
    assert f"without librispeech_deepspeech: ademamix is first (0.584 against 0.516 of {best})" in out


def test_without_ogbg_another_submission_is_first(call: Call) -> None:
    found = {row.without: row for row in score_table(read_table(PUBLISHED)).leave_one_out}
    flip = found.pop("ogbg")
    assert flip.order[:2] == ("schedule_free_adamw", "shampoo_submission")
    assert [round(value or 0.0, 3) for value in flip.values[:2]] == [0.807, 0.772]
    assert {row.order[0] for row in found.values()} == {"shampoo_submission"}
    code, out, _ = call("score", PUBLISHED)
    assert code == 0
    assert "without ogbg: schedule_free_adamw is first (0.807 against 0.772 of shampoo_submission)" in out
    assert out.index("shampoo_submission") < out.index("schedule_free_adamw")


# -- properties --------------------------------------------------------------------------------------------------------

SECONDS = st.one_of(st.none(), st.just(math.inf), st.floats(0.5, 50.0))
TABLES = (
    st.integers(1, 4)
    .flatmap(
        lambda workloads: st.lists(st.lists(SECONDS, min_size=workloads, max_size=workloads), min_size=1, max_size=5)
    )
    .map(lambda rows: {f"s{i}": {f"w{j}": value for j, value in enumerate(row)} for i, row in enumerate(rows)})
)


def brute_ratio(times: scoring.Times, name: str, workload: str) -> float:
    own = times[name][workload]
    known = [row[workload] for row in times.values() if row[workload] is not None and row[workload] != math.inf]
    return math.inf if own is None or own == math.inf else own / min(known)


@given(TABLES)
def test_the_exact_score_is_the_integral_of_the_profile(times: scoring.Times) -> None:
    found = scoring.score(times)
    steps = 3000
    for name in times:
        ratios = [brute_ratio(times, name, w) for w in times[name]]
        heights = [sum(r <= 1 + 3 * (i + 0.5) / steps for r in ratios) / len(ratios) for i in range(steps)]
        assert found[name] == pytest.approx(sum(heights) / steps, abs=1.01 / steps)
        assert 0 <= found[name] <= 1


@given(TABLES)
def test_the_trapezoid_is_within_a_step_of_the_exact_score(times: scoring.Times) -> None:
    exact, rough = scoring.score(times), scoring.score(times, trapezoid=True)
    assert all(abs(exact[name] - rough[name]) <= 0.5 / 99 + 1e-12 for name in times)


@given(TABLES)
def test_profiles_hold_the_share_at_every_tau(times: scoring.Times) -> None:
    for profile in scoring.profiles(times):
        assert list(profile.tau) == sorted(set(profile.tau)) and list(profile.share) == sorted(profile.share)
        for tau in (1.0, 1.37, 2.0, 3.999, 4.0):
            share = [s for t, s in zip(profile.tau, profile.share, strict=True) if t <= tau][-1]
            row = times[profile.contender]
            assert share == sum(brute_ratio(times, profile.contender, w) <= tau for w in row) / len(row)


@given(TABLES, st.floats(0.1, 100.0))
def test_the_unit_of_time_does_not_matter(times: scoring.Times, factor: float) -> None:
    scaled = {n: {w: None if t is None else t * factor for w, t in row.items()} for n, row in times.items()}
    for name, value in scoring.score(times).items():
        assert scoring.score(scaled)[name] == pytest.approx(value, abs=1e-9)


@given(TABLES)
def test_ranks_are_those_of_brute_force(times: scoring.Times) -> None:
    for workload, row in scoring.rank_table(times).items():
        seconds = {n: math.inf if times[n][workload] is None else times[n][workload] for n in times}
        assert sum(row.values()) == pytest.approx(len(row) * (len(row) + 1) / 2)
        for a in row:
            for b in row:
                assert (row[a] < row[b]) == (seconds[a] < seconds[b])


@given(TABLES)
def test_leaving_out_is_scoring_the_rest(times: scoring.Times) -> None:
    workloads = scoring.workloads_of(times)
    found = scoring.leave_one_out(times)
    assert len(found) == (len(workloads) if len(workloads) > 1 else 0)
    for row in found:
        rest = {n: {w: t for w, t in r.items() if w != row.without} for n, r in times.items()}
        scores = scoring.score(rest)
        assert list(row.values) == sorted(scores.values(), reverse=True)
        assert dict(zip(row.order, row.values, strict=True)) == scores


@given(TABLES)
def test_speed_ups_multiply(times: scoring.Times) -> None:
    ceilings = dict.fromkeys(scoring.workloads_of(times), 60.0)
    names = list(times)
    over = {n: scoring.speed_ups(times, n, ceilings) for n in names}
    for a in names:
        assert over[a][a] == pytest.approx(1.0)
        for b in names:
            assert (over[a][b] or 0.0) * (over[b][a] or 0.0) == pytest.approx(1.0)


def test_speed_up_by_hand() -> None:
    times = {"ref": {"a": 10.0, "b": 40.0}, "x": {"a": 5.0, "b": 10.0}, "y": {"a": 20.0, "b": None}, "z": {"a": None}}
    assert scoring.speed_ups(times, "ref")["x"] == pytest.approx(math.sqrt(8))
    assert scoring.speed_ups(times, "ref")["y"] == pytest.approx(0.5)
    assert scoring.speed_ups(times, "ref")["z"] is None
    assert scoring.speed_ups(times, "ref", {"a": 99.0, "b": 80.0})["y"] == pytest.approx(0.5)


def test_a_time_of_zero_is_the_fastest_and_has_no_speed_up() -> None:
    times = {"a": {"v": 0.0, "w": 3.0}, "b": {"v": 2.0, "w": 1.0}, "c": {"v": 0.0, "w": None}}
    assert scoring.ratios(times) == {"a": {"v": 1, "w": 3}, "b": {"v": math.inf, "w": 1}, "c": {"v": 1, "w": math.inf}}
    assert scoring.score(times) == {"a": pytest.approx(2 / 3), "b": 0.5, "c": 0.5}
    assert scoring.speed_ups(times, "a") == {"a": pytest.approx(1), "b": pytest.approx(3), "c": None}


def test_missing_a_held_out_variant_loses_the_base() -> None:
    times = {"a": {"w": 1.0, "w_x": None}, "b": {"w": 2.0, "w_x": 4.0}, "c": {"w": None, "w_x": 1.0}}
    kept = scoring.with_held_out(times, {"w": ["w_x"]})
    assert kept == {"a": {"w": math.inf}, "b": {"w": 2.0}, "c": {"w": math.inf}}
    assert scoring.score(kept) == {"a": 0.0, "b": 1.0, "c": 0.0}
    assert scoring.with_held_out({"a": {"w": 1.0, "w_x": 4.1}, "b": {"w": 1.0, "w_x": 1.0}}, {"w": ["w_x"]})["a"] == {
        "w": math.inf
    }


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere.csv"], 5, "no such file"),
        ([PUBLISHED, "--r-max", "1"], 2, "--r-max 1"),
        ([PUBLISHED, "--r-max", "nan"], 2, "--r-max nan"),
        ([PUBLISHED, "--reference", "base"], 2, "Did you mean baseline?"),
    ],
)
def test_bad_input_gets_one_clear_error(call: Call, words: list[object], code: int, message: str) -> None:
    found, out, err = call("score", *words)
    assert (found, out) == (code, "")
    assert message in err and "Traceback" not in err


def test_a_tie_with_the_best_does_not_change_the_first_place(tmp_path: Path, call: Call) -> None:
    table = tmp_path / "table.csv"
    table.write_text("submission,u,v,w\nb,1,1,1\na,1,1,2\n")
    _, out, _ = call("score", table)
    assert "b stays first without any one workload" in out and "without w" not in out
    assert "speed-up" not in out
    _, out, _ = call("score", table, "--reference", "a")
    assert "geometric mean over the workloads that both reached" in out


def test_json_of_a_table_with_infinities_is_json(call: Call) -> None:
    _, out, _ = call("score", PUBLISHED, "--json", "--reference", "baseline")
    tree = json.loads(out, parse_constant=lambda word: pytest.fail(word))
    assert tree["held_out"]["wmt"] == ["wmt_glu_tanh"]
    assert {row["submission"]: row["speed_up"] for row in tree["rows"]}["baseline"] == 1.0
