"""Samplers that learn: functions of seed and scores, the same for any number of workers, better than chance."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from optbench.config import Dimension
from optbench.errors import MissingError
from optbench.sweeps.search.optuna_search import ROUND, STARTUP_ROUNDS, spread_floor
from optbench.sweeps.search.search import LEARNING, Search, make_search
from optbench.sweeps.study.space import Box

STARTUP = STARTUP_ROUNDS * ROUND
Points = list[list[float]]
Score = Callable[[Sequence[float]], float | None]


def box(dimensions: int) -> Box:
    return Box(tuple(Dimension(f"optimizer.x{i}", 1e-4, 1.0, log=True) for i in range(dimensions)))


def walk(search: Search, score: Score) -> list[Points]:
    """Ask and tell to the end; return the rounds."""
    rounds = []
    while points := search.ask():
        rounds.append([list(point) for point in points])
        search.tell([score(point) for point in points])
    return rounds


def quadratic(u: Sequence[float]) -> float:
    """Return the height of a bowl, 0 at (0.7, 0.3) and below elsewhere."""
    return -((u[0] - 0.7) ** 2) - 3 * (u[1] - 0.3) ** 2


def cliff(u: Sequence[float]) -> float | None:
    """Return the height of the bowl, or None beyond a wall, where training diverges."""
    return quadratic(u) if u[0] < 0.8 else None


@pytest.mark.parametrize("sampler", LEARNING)
def test_points_are_a_function_of_seed_and_scores(sampler: str) -> None:
    first, again = (walk(make_search(sampler, box(2), 10, 5), cliff) for _ in range(2))
    assert first == again
    assert [len(points) for points in first] == [4, 4, 2]
    assert all(0 <= u < 1 for points in first for point in points for u in point)
    longer = [point for points in walk(make_search(sampler, box(2), 12, 5), cliff) for point in points]
    assert longer[:10] == [point for points in first for point in points]  # more trials go on from those there were
    assert walk(make_search(sampler, box(2), 9, 6), cliff)[-1] != longer[8:9]


@pytest.mark.parametrize("sampler", LEARNING)
def test_the_scores_matter(sampler: str) -> None:
    up, down = (walk(make_search(sampler, box(2), 12, 0), lambda u, s=sign: s * u[0]) for sign in (1, -1))
    assert up[:STARTUP_ROUNDS] == down[:STARTUP_ROUNDS]
    assert statistics.fmean(p[0] for p in up[-1]) > statistics.fmean(p[0] for p in down[-1])


@pytest.mark.parametrize("sampler", LEARNING)
def test_it_begins_with_the_points_of_the_default_sampler(sampler: str) -> None:
    found = [point for points in walk(make_search(sampler, box(2), 12, 3), quadratic) for point in points]
    sobol = make_search("sobol", box(2), 12, 3).ask()
    assert [box(2).at(p) for p in found[:STARTUP]] == [box(2).at(p) for p in sobol[:STARTUP]]


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_it_beats_chance_on_a_bowl(sampler: str) -> None:
    def best(name: str, seed: int) -> float:
        return max(quadratic(p) for points in walk(make_search(name, box(2), 32, seed), quadratic) for p in points)

    learnt, chance = ([best(name, seed) for seed in range(10)] for name in (sampler, "random"))
    assert statistics.median(learnt) > statistics.median(chance) / 2  # gaps below 0: less than half the gap
    assert statistics.fmean(a > b for a, b in zip(learnt, chance, strict=True)) >= 0.7


def test_a_gaussian_process_beats_chance_on_a_bowl() -> None:
    def best(name: str, seed: int) -> float:
        return max(quadratic(p) for points in walk(make_search(name, box(2), 12, seed), quadratic) for p in points)

    learnt, chance = ([best(name, seed) for seed in range(3)] for name in ("gp", "random"))
    assert statistics.median(learnt) > statistics.median(chance) / 2
    assert sum(a > b for a, b in zip(learnt, chance, strict=True)) >= 2


@pytest.mark.slow
def test_a_gaussian_process_beats_chance_beside_outliers() -> None:
    """One loss a million times the others must not hide the differences between those."""

    def score(u: Sequence[float]) -> float:
        return quadratic(u) if u[0] < 0.85 else -1e6 * u[0]

    def best(name: str, seed: int) -> float:
        return max(score(p) for points in walk(make_search(name, box(2), 24, seed), score) for p in points)

    learnt, chance = ([best(name, seed) for seed in range(8)] for name in ("gp", "random"))
    assert statistics.median(learnt) > statistics.median(chance) / 4


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_trial_without_a_score_discourages_its_neighbourhood(sampler: str) -> None:
    """Four tenths of the square lie beyond the wall; fewer of the learnt points do, and fewer the longer it learns."""

    def beyond(seed: int) -> list[bool]:
        rounds = walk(make_search(sampler, box(2), 40, seed), lambda u: -abs(u[1] - 0.5) if u[0] < 0.6 else None)
        return [p[0] >= 0.6 for points in rounds[STARTUP_ROUNDS:] for p in points]

    share = statistics.fmean(hit for seed in range(6) for hit in beyond(seed))
    assert share < 0.3


@pytest.mark.parametrize("sampler", LEARNING)
def test_without_any_score_it_goes_on(sampler: str) -> None:
    rounds = walk(make_search(sampler, box(1), 13, 0), lambda u: None)
    assert sum(map(len, rounds)) == 13
    late = walk(make_search(sampler, box(1), 14, 0), lambda u: u[0] if u in rounds[-1] or u[0] > 0.9 else None)
    assert sum(map(len, late)) == 14


@pytest.mark.parametrize("sampler", LEARNING)
@pytest.mark.parametrize("trials", [1, 3, 8])
def test_a_few_trials_are_exact(sampler: str, trials: int) -> None:
    assert sum(map(len, walk(make_search(sampler, box(3), trials, 0), lambda u: u[0]))) == trials


def test_a_floor_lies_below_the_bulk() -> None:
    assert spread_floor([1.0, 0.9, 0.8, 0.5, 0.1, -1e6, -1e6, -1e6]) == pytest.approx(1.0 - 4 * 0.2)
    assert spread_floor([1.0, 1.0, 1.0, 0.5, 0.1]) == -math.inf  # nothing to measure a way by
    assert spread_floor([1.0]) == -math.inf


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package, sampler in (("optuna", "tpe"), ("cmaes", "cmaes")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(MissingError, match=f"--sampler {sampler} needs {package}") as caught:
                make_search(sampler, box(2), 8, 0)
        assert caught.value.exit_code == 4
        assert "optbench[search]" in caught.value.hint


def test_optuna_is_silent_and_its_settings_are_restored(capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    level = optuna.logging.get_verbosity()
    walk(make_search("tpe", box(2), 12, 0), quadratic)
    assert optuna.logging.get_verbosity() == level
    assert capfd.readouterr() == ("", "")
