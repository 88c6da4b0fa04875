"""Scores of times to target: published figures, and properties against brute force."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from conftest import Call
from hypothesis import given, settings
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


def test_the_published_scores_are_reproduced(call: Call) -> None:
    found = score_table(read_table(PUBLISHED), trapezoid=True)
    scores = {row.submission: row.score.value for row in found.rows}
    for name, published in TRAPEZOID.items():
        assert round(scores[name] or 0.0, 4) == published
    exact = {row.submission: row.score.value for row in score_table(read_table(PUBLISHED)).rows}
    for name, figure in EXACT.items():
        assert round(exact[name] or 0.0, 4) == figure
    code, out, _ = call("score", PUBLISHED, "--trapezoid", "--json")
    assert code == 0
    assert {r["submission"]: r["score"]["value"] for r in json.loads(out)["rows"]} == scores


def test_the_scores_of_a_later_leaderboard_are_reproduced() -> None:
    found = score_table(read_table(LATER), trapezoid=True)
    assert found.held_out == {}
    assert {row.submission: row.score.value for row in found.rows} == pytest.approx(LATER_SCORES, abs=1e-12)
    assert [(row.solved, row.of) for row in found.rows[:2]] == [(6, 9), (6, 9)]


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


# -- resampled studies -------------------------------------------------------------------------------------------------


def test_several_studies_give_intervals_and_p_best() -> None:
    table = TimeTable({"a": {"v": (1.0, 1.1, 0.9), "w": (2.0, 2.0, 2.0)}, "b": {"v": (0.5, 0.6, 2.0), "w": (3.0,) * 3}})
    found = score_table(table)
    again = score_table(table)
    assert found == again
    for row in found.rows:
        assert row.score.low is not None and row.score.low <= row.score.value <= row.score.high
    assert sum(row.first or 0.0 for row in found.rows) == pytest.approx(1.0)
    assert found.rows[0].first is not None and 0.5 < found.rows[0].first < 1.0


def test_one_study_gives_no_interval() -> None:
    row = score_table(TimeTable({"a": {"v": (1.0,)}})).rows[0]
    assert (row.score.value, row.score.low, row.first) == (1.0, None, None)


@settings(deadline=None, max_examples=20)
@given(TABLES)
def test_ties_share_first_places(times: scoring.Times) -> None:
    found = scoring.resampled([times, times])
    assert sum(first for _, first in found.values()) == pytest.approx(1.0)


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
