"""The shortlist, the number of trials and the groups of a study, driven by invented outcomes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from test_cell_progress import Simulation, lr_of, middle, study_of

from optbench.sweeps.scheduler.study_progress import total_runs
from optbench.sweeps.study.cells import FINAL, TUNE, PlannedRun
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.study import make_study

ONE_D = "optimizer.weight_decay=0"


def default(*overrides: str, **given: Any) -> Any:
    return study_of(*overrides, protocol="default", **given)


def winner(played: Simulation, label: str) -> int | None:
    found = played.of(label).winner
    return found.number if found else None


def test_the_best_three_get_two_more_seeds_before_one_wins() -> None:
    single = {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.6, 4: 0.5}
    more = {0: 0.1, 1: 0.85, 2: 0.95, 3: 1.0}  # trial 0 was lucky, and trial 3 gets no further seeds
    score = lambda run: 0.5 if run.stage == FINAL else (more if run.confirms else single)[run.trial]  # noqa: E731
    played = Simulation(default("optimizer=lion", trials=5, seeds=2), score)
    cell = played.of("lion")
    assert [[run.stage for run in runs] for runs in played.released] == [[TUNE] * 5, [TUNE] * 6, [FINAL] * 2]
    assert [[run.config.seed for run in trial.runs] for trial in cell.trials] == [[0, 1, 2]] * 3 + [[0]] * 2
    assert cell.winner is cell.trials[2]  # (0.7 + 2 x 0.95) / 3 is the best mean of three
    assert {run.trial for run in cell.finals} == {2}
    assert total_runs(played.study, [cell.cell]) == len(played.runs) == 13


def test_a_shortlisted_trial_with_a_failed_seed_does_not_win_but_an_unconfirmed_one_only_without_others() -> None:
    def score(worse: set[int]) -> Any:
        return lambda run: None if run.confirms and run.trial in worse else 1 - run.trial / 10

    assert winner(Simulation(default("optimizer=lion", trials=5), score({0})), "lion") == 1
    assert winner(Simulation(default("optimizer=lion", trials=5), score({0, 1, 2})), "lion") == 3


def test_every_cell_has_as_many_runs_also_beyond_its_edges() -> None:
    only_lion = lambda run: lr_of(run) if "lion" in run.run_id else middle(run)  # noqa: E731
    played = Simulation(default(trials=8, seeds=1, extend_edges=True), only_lion)
    tuned = {c.cell.label: sum(len(trial.runs) for trial in c.trials) for c in played.all.cells}
    assert tuned == dict.fromkeys(("lion", "adamw"), (8 + 6) + 2 * (4 + 6))
    again = Simulation(played.study, lambda run: played.outcomes[run.run_id])
    assert [run.run_id for run in again.runs] == [run.run_id for run in played.runs]


def test_with_few_trials_or_none_to_choose_from_there_is_no_shortlist() -> None:
    assert len(Simulation(default("optimizer=lion", trials=3, seeds=1), middle).runs) == 4
    fixed = Simulation(default("optimizer=lion", "optimizer.lr=0.1", ONE_D, seeds=2), lr_of)
    assert [run.stage for run in fixed.runs] == [FINAL] * 2


def test_seeds_of_a_trial_alone_never_meet_those_of_another() -> None:
    played = Simulation(default("optimizer=lion", trials=5, tune_seeds=2, fresh_seeds=True), middle)
    seeds = [run.config.seed for trial in played.of("lion").trials for run in trial.runs]
    assert len(set(seeds)) == len(seeds) == 5 * 2 + 3 * 2


@pytest.mark.parametrize("sampler", ["tpe", "grid", "random"])
def test_any_sampler_has_a_shortlist(sampler: str) -> None:
    pytest.importorskip("optuna")
    played = Simulation(default("optimizer=lion", trials=8, sampler=sampler), middle)
    assert sorted(len(trial.runs) for trial in played.of("lion").trials) == [1] * 5 + [3] * 3


# -- the default -------------------------------------------------------------------------------------------------------


def test_each_dimension_of_the_largest_box_gives_all_eight_points() -> None:
    one, cells = planned(default("optimizer=sgd,momentum", ONE_D))
    assert [len(cell.box) for cell in cells] == [1, 1]
    assert (one.trials, total_runs(one, cells)) == (8, 2 * (8 + 6 + 8))
    two, cells = planned(default("optimizer=sgd,lion", boxes={"sgd": {"lr": "log [1e-3, 1]"}}))
    assert [len(cell.box) for cell in cells] == [1, 2]
    assert (two.trials, total_runs(two, cells)) == (16, 2 * (16 + 6 + 8))
    three, cells = planned(default("optimizer=adamw,lion"))
    assert [len(cell.box) for cell in cells] == [3, 2] and three.trials == 24
    assert planned(default("optimizer=sgd,lion", trials=5))[0].trials == 5


def positions(played: Simulation, label: str, key: str = "optimizer.lr") -> list[float]:
    """Return the place of each trial's value in the published interval, 0 to 1 on a logarithmic scale."""
    cell = played.of(label)
    (d,) = [d for d in cell.cell.box.dimensions if d.key == key]
    return [math.log(trial.values[key] / d.low) / math.log(d.high / d.low) for trial in cell.trials]


def test_a_grid_in_one_dimension_goes_on_beyond_the_edge_at_its_spacing() -> None:
    played = Simulation(default("optimizer=sgd", ONE_D, seeds=1, extend_edges=True), lr_of)
    found = positions(played, "sgd")
    assert found == pytest.approx([(i + 0.5) / 8 for i in range(8 + 4 + 4)], abs=1e-3)
    assert [trial.group for trial in played.of("sgd").trials] == [None] * 16


def test_two_scrambles_take_turns_and_more_trials_begin_with_those_of_fewer() -> None:
    few, many = (Simulation(default("optimizer=lion", trials=n, seeds=0), middle).of("lion") for n in (16, 32))
    assert [trial.values for trial in many.trials[:16]] == [trial.values for trial in few.trials]
    assert [trial.group for trial in many.trials] == [0, 1] * 16
    assert [run.group for trial in few.trials for run in trial.runs] == [t.group for t in few.trials for _ in t.runs]
    of_old = Simulation(study_of("optimizer=lion", trials=8, seeds=0), middle).of("lion")
    assert [t.values for t in few.trials if t.group == 0] == [t.values for t in of_old.trials]  # the seed's own
    for group in (0, 1):  # each is a Sobol sequence of its own: one point in each eighth
        own = [u for u, t in zip(positions_of(few), few.trials, strict=True) if t.group == group]
        assert sorted(int(8 * u) for u in own) == list(range(8))


def positions_of(cell: Any) -> list[float]:
    d = cell.cell.box.dimensions[0]
    return [math.log(t.values[d.key] / d.low) / math.log(d.high / d.low) for t in cell.trials]


def test_pairs_are_declared_before_the_runs() -> None:
    assert make_study(["optimizer=lion"], {}).as_dict()["paired"] is True
    assert make_study(["optimizer=lion"], {}, protocol="classic").as_dict()["paired"] is False


# -- edges -------------------------------------------------------------------------------------------------------------


def noisy(slope: float, sd: float) -> Any:
    """Return scores that rise with the rate by `slope` over its interval, with noise that depends on seed and point."""
    import numpy

    def score(run: PlannedRun) -> float:
        u = math.log10(lr_of(run))
        noise = numpy.random.default_rng([run.config.seed, int(1e6 * (u + 10))]).normal(0, sd)
        return slope * u + noise

    return score


def test_an_edge_counts_only_if_the_score_rises_towards_it_by_more_than_its_noise() -> None:
    flat = [Simulation(default("optimizer=sgd", f"seed={s}", ONE_D), noisy(0.0, 1.0)) for s in range(30)]
    on_edge = [p for p in flat if winner(p, "sgd") in (0, 7)]
    flagged = [p for p in flat if p.edges]
    assert on_edge and len(flagged) <= len(on_edge) / 2 and len(flagged) <= 0.15 * len(flat)
    steep = [Simulation(default("optimizer=sgd", f"seed={s}", ONE_D), noisy(10.0, 1.0)) for s in range(10)]
    assert all(p.edges for p in steep)


def test_an_edge_next_to_failures_counts() -> None:
    only_first = lambda run: 0.5 if run.trial == 0 else None  # noqa: E731
    played = Simulation(default("optimizer=sgd", ONE_D), only_first)
    assert played.of("sgd").edges() == [("optimizer.lr", "low")]


def test_equal_scores_are_no_edge() -> None:
    assert Simulation(default("optimizer=sgd", ONE_D), lambda run: 1.0).of("sgd").edges() == []
    rises = Simulation(default("optimizer=sgd", ONE_D, sampler="grid", trials=2, seeds=0), lr_of)
    assert rises.of("sgd").edges() == [("optimizer.lr", "high")]  # also where the last of few points is far inside
