"""Scores over workloads: their scale, what counts as 0 and 1, and the coverage of their intervals by simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures.scores import Board, Scores, iqm, scores

LEVEL = 0.95


def board(
    values: Mapping[str, Sequence[float | None]], trivial: float | None = 0.1, *, sign: float = 1.0, **more: object
) -> Board:
    """Return a workload in the metric's own unit; None: failed."""
    arms = tuple(
        Arm(
            name,
            tuple(sign * value for value in own if value is not None),
            sum(value is None for value in own),
            trivial=None if trivial is None else sign * trivial,
        )
        for name, own in values.items()
    )
    return Board(arms, **more)  # type: ignore[arg-type]


def points(of: Scores, workload: str) -> dict[str, float]:
    return dict(zip(of.names, of.points[workload], strict=True))


VIT = {"adamw": [0.8, 0.9], "lion": [0.9, 1.0], "sgd": [0.5, 0.7]}
LM = {"adamw": [3.0, 3.2], "lion": [3.5, 3.7], "sgd": [4.0, 4.2]}
WORKED = {"vit": board(VIT), "lm": board(LM, 5.1, sign=-1.0)}


def test_the_middle_half_by_hand() -> None:
    assert iqm([9.0, 1.0, 3.0, 5.0]) == 4.0  # 1 and 9 are cut
    assert iqm([1.0, 2.0, 6.0]) == 3.0  # three are too few to cut


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_it_is_scipys_trimmed_mean(values: list[float]) -> None:
    from scipy import stats

    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-6)


def test_the_trivial_answer_is_0_and_the_best_mean_1() -> None:
    found = scores(WORKED)
    assert points(found, "vit") == pytest.approx({"adamw": 0.75 / 0.85, "lion": 1.0, "sgd": 0.5 / 0.85})
    assert points(found, "lm") == pytest.approx({"adamw": 1.0, "lion": 0.75, "sgd": 0.5})
    lion = found.of("lion", LEVEL)
    assert (lion.score.value, lion.weakest) == (pytest.approx(0.875), ("lm", pytest.approx(0.75)))


def test_who_is_worse_than_the_trivial_answer_scores_0_not_less_than_others() -> None:
    """On the GAN of a withdrawn leaderboard the worst contender was at 0, and one worse than untrained at 0.76."""
    found = scores({"gan": board({"adamw": [6.0, 5.5], "muon": [150.0, 140.0], "sgd": [400.0, 600.0]}, 69.0, sign=-1)})
    assert points(found, "gan") == {"adamw": 1.0, "muon": 0.0, "sgd": 0.0}


def test_decades_are_compared_by_ratio() -> None:
    values = {"adamw": [1.0, 1.0], "lion": [10.0, 10.0], "sgd": [50.0, 50.0]}
    found = points(scores({"gan": board(values, 100.0, sign=-1.0, decades=True)}), "gan")
    assert found == pytest.approx({"adamw": 1.0, "lion": 0.5, "sgd": math.log(2) / math.log(100)})
    assert points(scores({"gan": board(values, 100.0, sign=-1.0)}), "gan")["lion"] == pytest.approx(90 / 99)
    exact = {"adamw": [0.0, 0.0], "lion": [1e-4, 1e-4], "sgd": [1e-2, 1e-2]}  # a function's minimum itself
    assert points(scores({"f": board(exact, 1.0, sign=-1.0, decades=True)}), "f") == pytest.approx(
        {"adamw": 1.0, "lion": 1.0, "sgd": 0.5}
    )


def test_a_contender_that_is_not_trained_scores_0() -> None:
    found = scores({**WORKED, "vit": board(VIT, untrained=frozenset({"lion"}))})
    assert points(found, "vit")["lion"] == 0.0
    low = found.of("lion", LEVEL).score
    assert low.low is not None and low.value is not None and low.low <= low.value


def test_a_failed_seed_counts_as_the_trivial_answer() -> None:
    found = scores({"vit": board({"adamw": [0.9, 0.9, 0.9], "lion": [0.9, 0.9, None], "sgd": [None, None, 1.0]})})
    assert points(found, "vit") == pytest.approx({"adamw": 1.0, "lion": 2 / 3, "sgd": 0.0})


def test_without_a_trivial_answer_0_is_the_worst_mean() -> None:
    found = points(scores({"vit": board(VIT, None)}), "vit")
    assert found == pytest.approx({"adamw": 0.25 / 0.35, "lion": 1.0, "sgd": 0.0})
    fallen = scores({"vit": board({**VIT, "adamw": [0.9, None, 0.9]}, None)})
    assert points(fallen, "vit")["adamw"] == pytest.approx(((0.9 + 0.5 + 0.9) / 3 - 0.6) / 0.35)


def test_workloads_that_tell_nothing_are_left_out() -> None:
    nobody = board({name: [0.05, 0.1] for name in VIT})
    same = board({name: [1.0, 1.0] for name in VIT}, None)
    assert set(scores({**WORKED, "nobody": nobody, "same": same}).points) == {"vit", "lm"}
    lacking = scores({**WORKED, "gan": board({"adamw": [1.0, 2.0], "sgd": [2.0, 3.0], "lion": []})})
    assert lacking.names == ("adamw", "sgd")
    assert scores({}).names == () and scores({"w": nobody}).points == {}


def test_the_mean_counts_below_eight_workloads_and_the_middle_half_from_eight_on() -> None:
    """Six of seven workloads are won by lion; an interquartile mean would not see the seventh."""
    won, lost = board({"adamw": [0.8, 0.8], "lion": [0.9, 0.9]}), board({"adamw": [0.9, 0.9], "lion": [0.2, 0.2]})
    seven = {**{f"w{n}": won for n in range(6)}, "gan": lost}
    assert scores(seven).of("lion", LEVEL).score.value == pytest.approx((6 + 0.125) / 7)
    assert scores(seven).of("lion", LEVEL).weakest == ("gan", pytest.approx(0.125))
    assert scores({**seven, "w6": won}).of("lion", LEVEL).score.value == 1.0


SEEDS = st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=1, max_size=5)
BOARDS = st.dictionaries(
    st.sampled_from("vw"), st.dictionaries(st.sampled_from("abc"), SEEDS, min_size=2), min_size=1, max_size=2
)


@settings(deadline=None, max_examples=60)
@given(BOARDS, st.one_of(st.none(), st.floats(-50, 50)), st.booleans())
def test_no_score_and_no_interval_leaves_0_to_1(
    values: dict[str, dict[str, list[float | None]]], trivial: float | None, decades: bool
) -> None:
    boards = {}
    for workload, own in values.items():
        known = {name: [v if v is None or not decades else abs(v) for v in seeds] for name, seeds in own.items()}
        zero = abs(trivial) if decades and trivial is not None else trivial
        boards[workload] = board(known, zero, sign=-1.0, decades=decades)
    found = scores(boards)
    for name in found.names if found.points else ():
        one = found.of(name, LEVEL)
        assert all(0 <= value <= 1 for value in one.by_workload.values())
        ends = (one.score.low, one.score.value, one.score.high)
        if one.score.low is not None:
            assert 0 <= ends[0] <= ends[1] <= ends[2] <= 1  # type: ignore[operator]


def test_draws_are_seeded_and_shared() -> None:
    one, two = scores(WORKED), scores(dict(reversed(WORKED.items())))
    assert one.of("lion", LEVEL) == two.of("lion", LEVEL)
    assert scores(WORKED, seed=1).of("lion", LEVEL) != one.of("lion", LEVEL)
    assert sum(one.of(name, LEVEL).first or 0 for name in one.names) == pytest.approx(1.0)
    assert one.difference("lion", "adamw", LEVEL).value == pytest.approx(0.875 - (1 + 0.75 / 0.85) / 2)
    ends, known = one.difference("lion", 0.5, LEVEL), one.of("lion", LEVEL).score
    assert ends.low == pytest.approx((known.low or 0) - 0.5) and ends.high == pytest.approx((known.high or 0) - 0.5)


def test_the_best_is_sure_where_it_is_far_ahead_and_shared_among_equals() -> None:
    far = {"v": board({"a": [0.9, 1.0, 0.95], "b": [0.1, 0.2, 0.15]}, 0.0)}
    assert (scores(far).of("a", LEVEL).first or 0) > 0.97
    equal = scores({"v": board({name: [0.4, 0.5, 0.6, 0.5] for name in "abcd"}, 0.0)})
    assert all(equal.of(name, LEVEL).first == pytest.approx(0.25, abs=0.05) for name in "abcd")


def test_the_selection_of_the_winner_widens_the_interval() -> None:
    def found(winner: int | None) -> float:
        trials = (0.30, 0.38, 0.42, 0.5)
        lucky = Arm("a", (0.39, 0.45, 0.43, 0.41, 0.44, 0.40, 0.43, 0.42), scores=trials, winner=winner, trivial=0.1)
        best = Arm("b", (0.90, 0.91, 0.89, 0.9, 0.9), trivial=0.1)
        one = scores({"w": Board((lucky, best))}).of("a", LEVEL).score
        return (one.high or 0) - (one.low or 0)

    assert found(3) > 1.05 * found(None)


def test_a_single_seed_has_no_interval() -> None:
    found = scores({"vit": board({**VIT, "lion": [0.9]}), "lm": WORKED["lm"]})
    assert found.of("lion", LEVEL).score.low is None and found.of("adamw", LEVEL).score.low is not None
    assert found.of("adamw", LEVEL).first is None
    alone = scores({"vit": board({"a": [0.5], "b": [0.6]})})
    assert alone.draws is None and alone.of("a", LEVEL).score.value == 0.8


def noise(kind: str, draw: np.random.Generator, size: int) -> np.ndarray:
    """Return noise of mean 0 and standard deviation 1."""
    if kind == "t3":
        return draw.standard_t(3, size) / np.sqrt(3)
    if kind == "lognormal":
        return (draw.lognormal(0, 1, size) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
    return draw.normal(size=size)


MEANS = {"best": [0.9, 0.8, 0.95, 0.7], "near": [0.85, 0.82, 0.9, 0.6], "far": [0.5, 0.3, 0.6, 0.4]}


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.02, 0.1])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("kind", ["normal", "t3", "lognormal"])
def test_it_covers(kind: str, n: int, sd: float) -> None:
    """Simulate 1,000 studies of three contenders on four workloads, with an error of 0.7 %."""
    draw = np.random.default_rng(n)
    zero, hits = 0.1, dict.fromkeys(MEANS, 0)
    best = [max(own[w] for own in MEANS.values()) for w in range(4)]
    real = {name: np.mean([(own[w] - zero) / (best[w] - zero) for w in range(4)]) for name, own in MEANS.items()}
    for seed in range(1000):
        boards = {
            str(w): board({name: list(own[w] + sd * noise(kind, draw, n)) for name, own in MEANS.items()}, zero)
            for w in range(4)
        }
        found = scores(boards, seed)
        for name in MEANS:
            one = found.of(name, LEVEL).score
            hits[name] += bool((one.low or 0) <= real[name] <= (one.high or 0))
    least = 0.88 if kind == "lognormal" else 0.93
    assert all(1000 * least - 15 <= hit <= (1000 if n == 3 else 985) for hit in hits.values()), hits
