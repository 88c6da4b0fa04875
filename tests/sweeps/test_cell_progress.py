"""Progress through a study, driven by invented outcomes: nothing is trained."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from optbench.records import DEFAULT_TRIAL
from optbench.sweeps.scheduler.cell_progress import DONE, CellProgress
from optbench.sweeps.scheduler.study_file import changed_settings
from optbench.sweeps.scheduler.study_progress import StudyProgress, total_runs
from optbench.sweeps.study.cells import FINAL, TUNE, PlannedRun
from optbench.sweeps.study.expand import planned
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import Study, make_study

Score = Callable[[PlannedRun], Any]
"""The validation metric of a run; None where it diverged, or an Outcome."""


def study_of(*overrides: str, **given: Any) -> Study:
    protocol = given.pop("protocol", "classic")
    return make_study(["model=mlp", *(overrides or ("optimizer=lion,adamw",))], given, protocol=protocol)


def lr_of(run: PlannedRun) -> float:
    return run.config.optimizer.settings["lr"]


class Simulation:
    """A study simulated to its end, with everything that happened."""

    def __init__(self, study: Study, score: Score) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.edges: list[tuple[str, list[tuple[str, str]]]] = []
        self.extended: list[int] = []
        self.study, found = planned(study)
        cells = [CellProgress(cell, self.study, self.outcomes) for cell in found]
        on_edge = lambda cell, edges: self.edges.append((cell.cell.label, edges))  # noqa: E731
        self.all = StudyProgress(self.study, cells, on_edge, self.extended.append)
        self.released: list[list[PlannedRun]] = []
        self.simulate(score)

    def simulate(self, score: Score) -> None:
        """Advance the cells in turn; the runs of each end before it is asked again."""
        for _ in range(1000):
            before = [cell.state for cell in self.all.cells]
            for cell in self.all.cells:
                if cell.stage != DONE:
                    self.finish(self.all.advance(cell), score)
            if self.all.is_done:
                return
            assert before != [cell.state for cell in self.all.cells], "no cell advances"
        raise AssertionError("the study does not end")

    def finish(self, runs: list[PlannedRun], score: Score) -> None:
        self.released += [runs] if runs else []
        for run in runs:
            value = score(run)
            self.outcomes[run.run_id] = value if isinstance(value, Outcome) else outcome(run.run_id, value)

    @property
    def runs(self) -> list[PlannedRun]:
        return [run for runs in self.released for run in runs]

    def of(self, label: str) -> CellProgress:
        return next(cell for cell in self.all.cells if cell.cell.label == label)


def outcome(run_id: str, value: float | None, direction: str = "max") -> Outcome:
    status = "completed" if value is not None else "diverged"
    return Outcome(run_id, status, metric="accuracy", direction=direction, val=value)


CENTRES = {"lion": (-3.5, -1.0), "adamw": (-2.5, -2.0)}  # decimal logarithms of learning rate and weight decay


def middle(run: PlannedRun) -> float:
    """Return a score that is higher nearer to the middle of the published box."""
    where = [run.config.optimizer.settings[key] for key in ("lr", "weight_decay")]
    centre = CENTRES[run.config.optimizer.name]
    return 1.0 - max(abs(math.log10(value) - middle) for value, middle in zip(where, centre, strict=True)) / 10


# -- stages ------------------------------------------------------------------------------------------------------------


def test_trials_then_the_winner_on_fresh_seeds() -> None:
    played = Simulation(study_of(trials=4, tune_seeds=2, seeds=3), middle)
    assert [[run.stage for run in runs] for runs in played.released] == [[TUNE] * 8] * 2 + [[FINAL] * 3] * 2
    assert len(played.runs) == total_runs(played.study, [cell.cell for cell in played.all.cells]) == 22
    for cell in played.all.cells:
        assert {run.config.seed for trial in cell.trials for run in trial.runs} == {0, 1}
        assert [run.config.seed for run in cell.finals] == [1000, 1001, 1002]
        best = max(cell.trials, key=lambda trial: trial.score)
        assert cell.winner is best
        assert {lr_of(run) for run in cell.finals} == {best.values["optimizer.lr"]}
    assert len({run.run_id for run in played.runs}) == 22


def test_tuning_seeds_and_final_seeds_never_overlap() -> None:
    played = Simulation(study_of("optimizer=lion", trials=2, tune_seeds=1000, seeds=2), middle)
    seeds = {stage: {run.config.seed for run in played.runs if run.stage == stage} for stage in (TUNE, FINAL)}
    assert not seeds[TUNE] & seeds[FINAL]


def test_a_seed_of_ones_own_shifts_all() -> None:
    played = Simulation(study_of("optimizer=lion", "seed=7", trials=2, seeds=2), middle)
    assert [run.config.seed for run in played.runs] == [7, 7, 1007, 1008]


def test_no_final_stage() -> None:
    played = Simulation(study_of(trials=4, seeds=0), middle)
    assert {run.stage for run in played.runs} == {TUNE}
    assert played.all.is_done


def test_without_a_box_the_final_seeds_suffice() -> None:
    fixed = ("optimizer=lion", "optimizer.lr=0.1", "optimizer.weight_decay=0.1")
    played = Simulation(study_of(*fixed, seeds=3), middle)
    assert [(run.stage, run.config.seed) for run in played.runs] == [(FINAL, 1000 + i) for i in range(3)]
    bare = Simulation(study_of(*fixed, seeds=0, tune_seeds=2), middle)
    assert [(run.stage, run.config.seed) for run in bare.runs] == [(TUNE, 0), (TUNE, 1)]


def test_more_trials_go_on_where_fewer_ended() -> None:
    few, many = (Simulation(study_of("optimizer=lion", trials=n, seeds=0), middle) for n in (4, 8))
    assert [run.run_id for run in many.runs][:4] == [run.run_id for run in few.runs]


# -- the winner --------------------------------------------------------------------------------------------------------


def by_trial(values: Mapping[tuple[int, int], Any]) -> Score:
    """Return scores by (trial, seed); final runs get 0.5."""
    return lambda run: values[run.trial, run.config.seed] if run.stage == TUNE else 0.5


def winner_of(values: Mapping[tuple[int, int], Any], seeds: int = 1) -> int | None:
    trials = 1 + max(trial for trial, _ in values)
    played = Simulation(study_of("optimizer=lion", trials=trials, tune_seeds=seeds, seeds=1), by_trial(values))
    winner = played.of("lion").winner
    assert (len(played.of("lion").finals) == 1) == (winner is not None)
    return None if winner is None else winner.number


def test_the_mean_over_seeds_decides() -> None:
    values = {(0, 0): 0.9, (0, 1): 0.1, (1, 0): 0.6, (1, 1): 0.6, (2, 0): 0.7, (2, 1): 0.4}
    assert winner_of(values, seeds=2) == 1


def test_a_trial_with_a_diverged_run_never_wins() -> None:
    values = {(0, 0): 0.9, (0, 1): None, (1, 0): 0.1, (1, 1): 0.1}
    assert winner_of(values, seeds=2) == 1


@pytest.mark.parametrize("status", ["failed", "diverged", "out_of_memory", "timed_out", "pruned", "refused"])
def test_a_failed_run_has_no_score_even_with_a_value(status: str) -> None:
    bad = Outcome("x", status, metric="accuracy", direction="max", val=0.99)
    assert winner_of({(0, 0): bad, (1, 0): 0.2}) == 1


def test_a_run_that_stopped_at_its_target_succeeded() -> None:
    assert winner_of({(0, 0): 0.2, (1, 0): Outcome("x", "stopped_at_target", "", "accuracy", "max", 0.9)}) == 1


def test_the_first_of_equals_wins() -> None:
    assert winner_of({(0, 0): 0.2, (1, 0): 0.9, (2, 0): 0.9}) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_no_score(value: float) -> None:
    assert winner_of({(0, 0): value, (1, 0): 0.1}) == 1


def test_smaller_wins_where_smaller_is_better() -> None:
    outcomes = {(i, 0): outcome("x", value, "min") for i, value in enumerate((0.5, 0.2, 0.7))}
    assert winner_of(outcomes) == 1


def test_nothing_is_rerun_if_everything_failed() -> None:
    assert winner_of({(0, 0): None, (1, 0): None}) is None
    mixed = Simulation(study_of(trials=2, seeds=2), lambda run: None if "lion" in run.run_id else 0.5)
    assert [run.stage for run in mixed.of("lion").finals] == []
    assert len(mixed.of("adamw").finals) == 2


# -- edges -------------------------------------------------------------------------------------------------------------


def test_a_winner_on_an_edge_is_reported_once() -> None:
    played = Simulation(study_of("optimizer=lion", trials=16, seeds=1), lr_of)  # the larger, the better
    (said,) = played.edges
    assert said[0] == "lion"
    assert ("optimizer.lr", "high") in said[1]
    assert Simulation(study_of("optimizer=lion", trials=16, seeds=1), middle).edges == []


def test_the_edge_is_an_eighth_at_most_and_a_twentieth_at_least() -> None:
    for trials, share in ((1, 0.125), (8, 0.125), (16, 1 / 16), (64, 0.05)):
        cell = Simulation(study_of("optimizer=lion", trials=trials, seeds=0), lr_of).of("lion")
        box = cell.box
        inside, outside = (box.at([1 - share + sign * 0.002, 0.5]) for sign in (-1, 1))
        assert box.edges(inside, share) == []
        found = [[*cell.box.edges(values, share)] for values in (inside, outside)]
        assert found == [[], [("optimizer.lr", "high")]]
        assert share == min(max(1 / trials, 0.05), 0.125)


def test_extending_gives_every_cell_the_same_number_of_trials() -> None:
    only_lion_on_edge = lambda run: lr_of(run) if "lion" in run.run_id else middle(run)  # noqa: E731
    played = Simulation(study_of(trials=8, seeds=1, extend_edges=True), only_lion_on_edge)
    lion, adamw = played.of("lion"), played.of("adamw")
    assert len(lion.trials) == len(adamw.trials) == 8 + 2 * 4  # two rounds, then it is told and left
    assert played.extended == [4, 4]
    assert lion.box.as_dict()["optimizer.lr"].startswith("log [9e-06, ")
    assert max(t.values["optimizer.lr"] for t in lion.trials) > 1e-2  # beyond the published box
    assert max(t.values["optimizer.lr"] for t in lion.trials[:8]) <= 1e-2
    assert adamw.box == adamw.cell.box  # within its box, on further points
    values = [tuple(t.values.items()) for t in adamw.trials]
    assert len(set(values)) == len(values)
    further = Simulation(study_of("optimizer=adamw", trials=16, seeds=0), middle).of("adamw").trials
    assert values == [tuple(t.values.items()) for t in further]  # the very points that more trials would have had
    assert [run.stage for run in played.runs][-2:] == [FINAL, FINAL]  # after the last trial of both


def test_extending_stops_when_no_winner_lies_on_an_edge() -> None:
    played = Simulation(study_of(trials=8, seeds=1, extend_edges=True), middle)
    assert [len(cell.trials) for cell in played.all.cells] == [8, 8]
    assert played.extended == []


def test_extending_stays_within_the_valid_values() -> None:
    interval = "optimizer.lr=interval(0,1)"
    played = Simulation(study_of("optimizer=lion", interval, trials=8, seeds=1, extend_edges=True), lambda r: -lr_of(r))
    cell = played.of("lion")
    assert all(trial.values["optimizer.lr"] >= 0 for trial in cell.trials)
    assert len(cell.trials) == 16


def test_a_grid_is_extended_by_quasi_random_points() -> None:
    played = Simulation(study_of(trials=4, seeds=0, sampler="grid", extend_edges=True), lambda run: lr_of(run))
    assert {len(cell.trials) for cell in played.all.cells} <= {4, 6, 8}
    assert len({len(cell.trials) for cell in played.all.cells}) == 1


def test_a_failed_cell_does_not_hold_up_the_extension_of_others() -> None:
    played = Simulation(
        study_of(trials=4, seeds=1, extend_edges=True), lambda run: None if "adamw" in run.run_id else lr_of(run)
    )
    assert len(played.of("lion").trials) == len(played.of("adamw").trials)
    assert played.of("adamw").finals == []


# -- finalists and groups ----------------------------------------------------------------------------------------------


def test_only_the_best_of_all_is_rerun() -> None:
    study = make_study(["model=mlp"], {"trials": 2, "seeds": 3}, protocol="targets")
    played = Simulation(study, lambda run: 0.9 if "nadam" in run.run_id else 0.1)
    assert {run.config.optimizer.name for run in played.runs if run.stage == FINAL} == {"nadam"}
    assert Counter(run.stage for run in played.runs) == {TUNE: 8, FINAL: 3}
    assert total_runs(study, [cell.cell for cell in played.all.cells]) == 11
    nothing = Simulation(study, lambda run: None)
    assert all(cell.finals == [] or cell.winner for cell in nothing.all.cells)
    assert Counter(run.stage for run in nothing.runs) == {TUNE: 8}


def test_algoperf_gives_every_trial_a_seed_of_its_own() -> None:
    study = study_of("optimizer=lion", "target=0.9", protocol="algoperf-external")
    played = Simulation(study, middle)
    assert [run.config.seed for run in played.runs] == list(range(15))
    assert Counter(trial.number % study.groups for trial in played.of("lion").trials) == {0: 5, 1: 5, 2: 5}


# -- going on ----------------------------------------------------------------------------------------------------------


def test_the_runs_are_a_function_of_the_outcomes() -> None:
    """A sweep that finds earlier outcomes asks for the same runs as one that was never interrupted."""
    study = study_of(trials=8, seeds=2, extend_edges=True)
    played = Simulation(study, lr_of)
    again = Simulation(study, lambda run: played.outcomes[run.run_id])
    assert [run.run_id for run in again.runs] == [run.run_id for run in played.runs]
    assert again.edges == played.edges


# -- the optimizer's own values ----------------------------------------------------------------------------------------


def points_of(cell: CellProgress) -> dict[int, Mapping[str, Any]]:
    return {trial.number: trial.values for trial in cell.trials if trial.number != DEFAULT_TRIAL}


@pytest.mark.parametrize(
    "more", [{}, {"sampler": "tpe"}, {"shortlist": 2}, {"extend_edges": True}, {"fresh_seeds": True}]
)
def test_the_optimizer_s_own_values_are_one_more_trial(more: dict[str, Any]) -> None:
    """The points, and their numbers, seeds and run ids, stay as they are without it, whatever it scores."""
    score = lambda run: lr_of(run)  # noqa: E731
    plain, played = (
        Simulation(study_of(trials=8, seeds=2, include_default=included, **more), score) for included in (False, True)
    )
    for cell in played.all.cells:
        (own,) = (trial for trial in cell.trials if trial.number == DEFAULT_TRIAL)
        settings = cell.cell.config.optimizer.settings
        assert own.values.items() >= {f"optimizer.{key}": settings[key] for key in ("lr", "weight_decay")}.items()
        assert own.group is None and own.runs[0].config.seed == cell.cell.config.seed
        before = plain.of(cell.cell.label)
        assert points_of(cell) == points_of(before)
        first = [trial.runs[0].run_id for trial in cell.trials if trial.number != DEFAULT_TRIAL]
        assert first == [trial.runs[0].run_id for trial in before.trials]
    if "extend_edges" not in more:
        assert total_runs(played.study, [cell.cell for cell in played.all.cells]) == len(played.runs)


def test_the_optimizer_s_own_values_can_win() -> None:
    study = study_of(trials=8, seeds=2, include_default=True)
    own = {cell.label: cell.config.optimizer.settings["lr"] for cell in planned(study)[1]}
    played = Simulation(study, lambda run: float(lr_of(run) in own.values()))
    for cell in played.all.cells:
        assert cell.winner is not None and cell.winner.number == DEFAULT_TRIAL
        assert [(run.trial, lr_of(run)) for run in cell.finals] == [(DEFAULT_TRIAL, own[cell.cell.label])] * 2


def test_own_values_beyond_the_box_lie_on_its_edge_and_none_on_no_edge() -> None:
    (cell,) = planned(study_of("optimizer=lion", "optimizer.lr=tag(log,interval(1e-6,1e-5))", trials=4))[1]
    rest = {d.key: 0.1 for d in cell.box.dimensions}
    assert cell.box.edges({**rest, "optimizer.lr": 1e-4}, 0.1) == [("optimizer.lr", "high")]
    assert cell.box.edges({**rest, "optimizer.lr": 0.0}, 0.1) == [("optimizer.lr", "low")]
    assert cell.box.edges({**rest, "optimizer.lr": None}, 0.1) == []


def test_without_a_search_there_are_no_own_values_to_add() -> None:
    study = study_of("optimizer=lion", "optimizer.lr=1e-3", "optimizer.weight_decay=0.1", include_default=True, seeds=2)
    played = Simulation(study, lambda run: 1.0)
    assert [run.stage for run in played.runs] == [FINAL, FINAL]


def test_an_older_study_has_no_own_values_and_is_not_changed_by_that() -> None:
    study, _ = planned(study_of(trials=4))
    settings = {key: value for key, value in study.as_dict().items() if key not in ("include_default", "more_budgets")}
    assert changed_settings({"settings": json.loads(json.dumps(settings))}, study) == []
