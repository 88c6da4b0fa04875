"""Intervals of scores and ranks: exact values, what they cover, and how often that is true."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Call
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, t
from test_scoring import A100, TABLES

from optbench.reports.algoperf import resampling
from optbench.reports.algoperf.resampling import STUDIES, WORKLOADS, Scoring, Spread, spreads
from optbench.reports.algoperf.score_table import ranks_text, score_table
from optbench.reports.algoperf.timetable import TimeTable, read_table
from optbench.reports.statistics import scoring

Floats = NDArray[np.float64]


def arrays(times: scoring.Times, workloads: Sequence[str]) -> Floats:
    return np.array([[[scoring.seconds(times, name, w) for w in workloads] for name in sorted(times)]])


@settings(deadline=None)
@given(TABLES, st.booleans(), st.sampled_from([4.0, 2.5, 3.0]))
def test_points_add_up_to_the_score(times: scoring.Times, trapezoid: bool, r_max: float) -> None:
    workloads = scoring.workloads_of(times)
    found = resampling.points(arrays(times, workloads), workloads, Scoring({}, r_max, trapezoid)).mean(axis=2)[0]
    score = scoring.score(times, r_max, trapezoid=trapezoid)
    assert dict(zip(sorted(times), map(float, found), strict=True)) == pytest.approx(score, abs=1e-12)


def test_held_out_variants_count_in_every_draw() -> None:
    times = {"a": {"w": 1.0, "w_x": None}, "b": {"w": 2.0, "w_x": 4.0}, "c": {"w": None, "w_x": 1.0}}
    found = resampling.points(arrays(times, ["w", "w_x"]), ["w", "w_x"], Scoring({"w": ["w_x"]}))
    assert found[0, :, 0].tolist() == [0.0, 1.0, 0.0]


def test_deviations_have_the_variance_of_the_studies() -> None:
    cells = [(np.exp(1.0), np.exp(3.0)), (np.exp(2.0), np.inf), (np.exp(0.0), np.exp(3.0), np.exp(6.0))]
    found = resampling.deviations([tuple(map(float, cell)) for cell in cells])
    assert found.tolist() == pytest.approx([-(2**0.5), 2**0.5, -3 * 1.5**0.5, 0.0, 3 * 1.5**0.5])


def test_one_study_gets_the_spread_of_the_others() -> None:
    table = TimeTable({"a": {"w": (100.0,)}, "b": {"w": (100.0, 110.0, 120.0)}, "c": {"w": (90.0, 100.0, 115.0)}})
    found = spreads(table, Scoring({}))[STUDIES]
    assert found["a"].score[1] - found["a"].score[0] > found["b"].score[1] - found["b"].score[0] > 0


def test_what_no_study_reached_stays_unreached() -> None:
    inf = float("inf")
    table = TimeTable({"a": {"v": (1.0, 1.1, 0.9)}, "b": {"v": (inf, inf, inf)}})
    found = spreads(table, Scoring({}))[STUDIES]
    assert found["b"].score == (0.0, 0.0) and found["b"].first < 0.1 and found["a"].score[1] == 1.0


def test_ranks_are_percentiles_over_the_draws() -> None:
    scores = np.array([[3.0, 2.0, 1.0]] * 90 + [[1.0, 2.0, 3.0]] * 6 + [[2.0, 2.0, 1.0]] * 4)
    found = resampling.spreads_of(scores / 3, ["x", "y", "z"], 0.025)
    assert [found[name].rank for name in "xyz"] == [(1.0, 3.0), (1.5, 2.0), (1.0, 3.0)]
    assert [found[name].first for name in "xyz"] == pytest.approx([0.92, 0.02, 0.06])
    assert ranks_text(Spread((0, 1), (1.0, 3.0), 0)) == "1 to 3" and ranks_text(Spread((0, 1), (2.5, 2.5), 0)) == "2.5"


def test_percentiles_of_few_workloads_reach_out_as_far_as_student_s() -> None:
    tail = resampling.outwards(0.95, 9)
    assert norm.isf(tail) * (8 / 9) ** 0.5 == pytest.approx(t.isf(0.025, 8))
    assert tail == pytest.approx(0.00723, abs=1e-5)
    assert resampling.outwards(0.95, 10**6) == pytest.approx(0.025, abs=1e-6)


def test_workloads_are_drawn_with_replacement() -> None:
    times = {"a": [1.0] * 4 + [9.0] * 4, "b": [1.0] * 8}
    table = TimeTable({name: {f"w{j}": (time,) for j, time in enumerate(row)} for name, row in times.items()})
    found = spreads(table, Scoring({}))
    assert set(found) == {WORKLOADS} and found[WORKLOADS]["b"].score == (1.0, 1.0)
    # the mean of eight draws of 0 or 1
    tail = resampling.outwards(0.95, 8)
    counts = [sum(draw) for draw in itertools.product([0, 1], repeat=8)]
    assert found[WORKLOADS]["a"].score == pytest.approx(tuple(np.quantile(counts, [tail, 1 - tail]) / 8))
    fewer = TimeTable({name: {w: row[w] for w in list(row)[:7]} for name, row in table.studies.items()})
    assert spreads(fewer, Scoring({})) == {}


def test_a_score_table_is_the_same_twice_and_its_first_places_add_up() -> None:
    table = read_table(A100)
    found = score_table(table, trapezoid=True)
    assert found == score_table(table, trapezoid=True)
    for kind in (STUDIES, WORKLOADS):
        assert sum(row.spreads[kind].first for row in found.rows) == pytest.approx(1.0)
        for row in found.rows:
            assert row.spreads[kind].score[0] <= row.score <= row.spreads[kind].score[1]
            assert row.spreads[kind].rank[0] <= row.rank <= row.spreads[kind].rank[1]


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_intervals_of_either_kind(tmp_path: Path, call: Call) -> None:
    code, out, _ = call("score", A100)
    assert code == 0 and "rank 95%" in out and "say nothing of other workloads" in out
    best = next(line for line in out.splitlines() if "schedule_free_adamw_v2" in line)
    assert "1 to 8" in best
    _, out, _ = call("score", A100, "--resample", "workloads")
    assert "on other workloads of this kind" in out and "For intervals over studies: --resample studies" in out
    assert call("score", A100, "--resample", "trials")[0] == 2
    _, out, _ = call("score", A100, "--json")
    row = json.loads(out)["rows"][0]
    assert set(row["spreads"]) == {STUDIES, WORKLOADS} and len(row["spreads"][STUDIES]["rank"]) == 2
    table = tmp_path / "table.csv"
    table.write_text("submission,u,v\na,1,1\nb,2,2\n")
    _, out, _ = call("score", table)
    assert "no interval over studies: none was repeated" in out and "rank 95%" not in out
    _, out, _ = call("score", table, "--resample", "workloads")
    assert "no interval over workloads: it needs 8, the table has 2" in out


# -- coverage ----------------------------------------------------------------------------------------------------------


def draw(random: np.random.Generator, cells: Sequence[Floats], studies: int, tables: int) -> Floats:
    """(tables, submissions, workloads, studies) of times. `cells`: medians, chance to reach, sd of log times."""
    middle, chance, sd = (cell[None, :, :, None] for cell in cells)
    shape = (tables, *cells[0].shape, studies)
    return np.where(random.random(shape) < chance, middle * np.exp(sd * random.normal(size=shape)), np.inf)


def table_of(times: Floats) -> TimeTable:
    return TimeTable(
        {f"s{i:02}": {f"w{j}": tuple(map(float, c)) for j, c in enumerate(r)} for i, r in enumerate(times)}
    )


def scores_of(times: Floats) -> Floats:
    medians = np.median(times, axis=3)
    return resampling.points(medians, [f"w{j}" for j in range(medians.shape[2])], Scoring({})).mean(axis=2)


def ranks_of(scores: Floats) -> list[float]:
    return list(scoring.ranked({str(at): -score for at, score in enumerate(scores)}).values())


def made_cells(kind: str) -> list[Floats]:
    random = np.random.default_rng(3)
    if kind == "few":
        return [np.outer([1, 1.2, 1.5], np.ones(4)), np.full((3, 4), 0.8), np.full((3, 4), 0.1)]
    middle = np.exp(0.5 * random.normal(size=(10, 9)))
    chance = random.choice([0.0, 0.4, 0.7, 0.95, 1.0], size=(10, 9), p=[0.4, 0.05, 0.1, 0.15, 0.3])
    return [middle, chance, np.broadcast_to(random.choice([0.03, 0.1, 0.3], size=9), (10, 9))]


def coverage(found: Sequence[dict[str, Spread]], truth: Floats) -> tuple[float, float]:
    """Share of intervals of scores and of ranks that hold the truth."""
    ranks, e = ranks_of(truth), 1e-9
    rows = [[table[name] for name in sorted(table)] for table in found]
    scores = [[one.score[0] - e <= v <= one.score[1] + e for one, v in zip(row, truth, strict=True)] for row in rows]
    places = [[one.rank[0] <= v <= one.rank[1] for one, v in zip(row, ranks, strict=True)] for row in rows]
    return float(np.mean(scores)), float(np.mean(places))


@pytest.mark.slow
@pytest.mark.parametrize("studies", [2, 3, 5])
@pytest.mark.parametrize("kind", ["few", "like_algoperf"])
def test_intervals_over_studies_cover_the_mean_of_reruns(kind: str, studies: int) -> None:
    cells, random = made_cells(kind), np.random.default_rng(0)
    truth = scores_of(draw(random, cells, studies, 4000)).mean(axis=0)
    drawn = draw(random, cells, studies, 150)
    scores, ranks = coverage([spreads(table_of(times), Scoring({}))[STUDIES] for times in drawn], truth)
    assert ranks >= 0.93
    assert 0.93 <= scores <= (1.0 if kind == "few" else 0.995)  # of few cells they are wide


@pytest.mark.slow
@pytest.mark.parametrize(("studies", "reach"), [(1, 0.8), (1, 1.0), (3, 0.8)])
def test_intervals_over_workloads_cover_the_score_on_all(studies: int, reach: float) -> None:
    random = np.random.default_rng(1)
    every = 300
    middle = np.exp(0.5 * random.normal(size=(6, every)) + 0.1 * np.arange(6)[:, None])
    cells = [middle, np.where(random.random((6, every)) < reach, 1.0, 0.0), np.full((6, every), 0.1)]
    truth = scores_of(draw(random, cells, studies, 500)).mean(axis=0)
    found = []
    for _ in range(200):
        own = random.integers(0, every, 9)
        times = draw(random, [cell[:, own] for cell in cells], studies, 1)[0]
        found.append(spreads(table_of(times), Scoring({}))[WORKLOADS])
    scores, ranks = coverage(found, truth)
    assert 0.92 <= scores <= 0.998 and ranks >= 0.92


@pytest.mark.slow
def test_a_submission_rarely_differs_from_itself() -> None:
    cells, random = made_cells("like_algoperf"), np.random.default_rng(2)
    twice = [np.vstack([cell, cell[:1]]) for cell in cells]
    apart = 0
    for times in draw(random, twice, 3, 150):
        found = spreads(table_of(times), Scoring({}))[STUDIES]
        one, other = found["s00"].rank, found["s10"].rank
        apart += one[1] < other[0] or other[1] < one[0]
    assert apart / 150 <= 0.05
