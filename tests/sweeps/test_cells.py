"""The cells of a study: what is compared, what is searched, and that budgets are equal."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from optbench.errors import ConfigError
from optbench.sweeps.study.cells import Cell
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study


def cells(*overrides: str, **given: Any) -> list[Cell]:
    options = {key: given.pop(key) for key in ("protocol", "file", "config_dir") if key in given}
    return expand(make_study(["model=mlp", "steps=1100", *overrides], given, **options), options.get("config_dir"))


def refused(*overrides: str, **given: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        cells(*overrides, **given)
    assert "\n" not in caught.value.args[0]
    return caught.value


# -- what is compared --------------------------------------------------------------------------------------------------


def test_a_switch_is_labelled_as_typed() -> None:
    found = cells("optimizer=lion,adamw", "lookahead=true,false")
    assert [cell.label for cell in found][:2] == ["lion lookahead=true", "lion lookahead=false"]
    assert [cell.choices[1] for cell in found] == ["lookahead=true", "lookahead=false"] * 2


def test_every_combination_is_a_cell() -> None:
    found = cells("optimizer=lion,adamw", "batch_size=32,64", budgets=[0.5, 1.0])
    combinations = itertools.product(("lion", "adamw"), (32, 64), (0.5, 1))
    assert [cell.label for cell in found] == [f"{name} batch_size={b} x{budget}" for name, b, budget in combinations]
    assert [cell.number for cell in found] == list(range(8))
    assert [cell.config.steps for cell in found] == [550, 1100] * 4
    assert {cell.workload for cell in found} == {
        (f"batch_size={batch}", f"budget={budget}") for batch in (32, 64) for budget in ("0.5", "1")
    }


def test_one_contender_may_have_more_budgets() -> None:
    found = cells("optimizer=lion,adamw", "batch_size=32,64", more_budgets={"adamw": [0.5, 1, 2]})
    assert [(cell.label, cell.config.steps) for cell in found] == [
        *[(f"{optimizer} batch_size={batch} x1", 1100) for optimizer in ("lion", "adamw") for batch in (32, 64)],
        *[(f"adamw batch_size={batch} x{budget:g}", round(1100 * budget)) for batch in (32, 64) for budget in (0.5, 2)],
    ]
    assert [cell.number for cell in found] == list(range(8))


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        ({"adamq": [0.5]}, "more_budgets: adamq is not compared in this study"),
        ({"adamw": ["x"]}, "more_budgets.adamw"),
        ({"adamw": 0}, "expected a number greater than 0"),
        ([1], "more_budgets=[1]: expected a mapping"),
    ],
)
def test_budgets_of_nobody_and_of_no_number_are_refused(ladder: object, message: str) -> None:
    assert message in refused("optimizer=lion,adamw", more_budgets=ladder).args[0]


PARTS = {
    "table": {"overrides": ["model=mlp", "steps=80"]},
    "gan": {"overrides": ["model=dcgan", "steps=40"], "boxes": {"lion": {"betas.0": "[0, 0.9]"}}},
}


def in_parts(*overrides: str, **given: Any) -> list[Cell]:
    return expand(make_study(["optimizer=lion,adamw", *overrides], {"parts": PARTS, **given}))


def test_parts_have_overrides_and_boxes_of_their_own() -> None:
    found = in_parts(boxes={"lion": {"lr": "log [1e-5, 1e-3]"}, "adamw": {"lr": "log [1e-4, 1e-2]"}})
    assert [(cell.label, cell.config.model.name, cell.config.steps) for cell in found] == [
        ("table lion", "mlp", 80),
        ("table adamw", "mlp", 80),
        ("gan lion", "dcgan", 40),
        ("gan adamw", "dcgan", 40),
    ]
    assert [cell.number for cell in found] == list(range(4))
    assert [[d.key for d in cell.box.dimensions] for cell in found] == [
        ["optimizer.lr"],
        ["optimizer.lr"],
        ["optimizer.betas.0"],
        ["optimizer.lr"],
    ]
    assert found[0].workload == ("part=table", "budget=1")


def test_the_command_line_wins_over_parts() -> None:
    assert {cell.config.steps for cell in in_parts("steps=7")} == {7}
    words = make_study(["steps=7"], {"parts": PARTS}).words
    assert words.count("steps=7") == 3 and "model=dcgan" in words


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": PARTS["table"], "b": PARTS["table"]}, "parts: a and b both have model=mlp data=digits"),
        ({"a": {"overrides": ["model=mlq"]}}, "parts: a: optimizer=lion: model=mlq: there is no model 'mlq'"),
        ({"a": {"steps": 3}}, "parts.a.overrides: missing"),
        ({"a": ["model=mlp"]}, "parts.a"),
        (["model=mlp"], "parts"),
    ],
)
def test_parts_that_cannot_be_told_apart_or_read_are_refused(parts: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        in_parts(parts=parts)
    assert message in caught.value.args[0]


def test_choices_of_the_optimizer_are_not_part_of_the_workload() -> None:
    found = cells("optimizer=lion,adamw", "schedule=cosine,linear", "lookahead=true,false")
    assert {cell.workload for cell in found} == {("budget=1",)}
    assert len(found) == 8


def test_a_single_cell_is_labelled_by_its_optimizer() -> None:
    assert [cell.label for cell in cells("optimizer=lion")] == ["lion"]


def test_a_custom_optimizer_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("import torch\nclass Mine(torch.optim.SGD):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    found = cells("optimizer=sgd,./mine.py:Mine", "optimizer.lr=tag(log,interval(1e-3,1))")
    assert [cell.label for cell in found] == ["sgd", "./mine.py:Mine"]
    assert [next(iter(cell.box.as_dict())) for cell in found] == ["optimizer.lr", "optimizer.lr"]


# -- equal budgets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "steps", "evaluations"),
    [
        ("adamw", 1100, 1),
        ("sam", 550, 2),
        ("kfac", 550, 2),
        ("sophia_g", 1000, 1.1),  # one more in every tenth step
        ("sophia_h", 917, 1.2),  # two more in every tenth
    ],
)
def test_more_evaluations_per_step_give_fewer_steps(optimizer: str, steps: int, evaluations: float) -> None:
    found = cells(f"optimizer={optimizer},sgd")
    assert found[0].evaluations == pytest.approx(evaluations)
    assert found[0].config.steps == steps
    assert found[0].config.schedule == found[1].config.schedule  # a complete schedule of its own
    assert found[0].evaluated_samples == pytest.approx(1100 * 64, abs=evaluations * 64)


def test_the_interval_of_the_configuration_counts() -> None:
    assert cells("optimizer=sophia_g", "optimizer.interval=1")[0].config.steps == 550


def test_budgets_in_samples_stay_in_samples() -> None:
    cell = expand(make_study(["model=mlp", "optimizer=sam", "samples=6400", "batch_size=32"], {}))[0]
    assert cell.config.steps == 100
    assert cell.config.run_id == cell.variation.at({}).run_id


def test_a_varying_budget_is_refused_unless_allowed() -> None:
    error = refused("optimizer=lbfgs,adamw")
    assert error.args[0] == "unequal budgets: the gradient evaluations per step of lbfgs vary"
    assert "--allow-unequal" in error.hint
    assert [cell.config.steps for cell in cells("optimizer=lbfgs,adamw", allow_unequal=True)] == [1100, 1100]
    assert len(cells("optimizer=lbfgs")) == 1  # alone, it is compared with nothing


def test_recipes_with_budgets_of_their_own_are_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mlp-digits-lion.yaml").write_text("# @package _global_\nsteps: 500\n")
    words = ["model=mlp", "optimizer=lion,adamw"]

    def expanded(**given: Any) -> list[Cell]:
        return expand(make_study(words, given, config_dir=tmp_path), tmp_path)

    with pytest.raises(ConfigError) as caught:
        expanded()
    assert caught.value.args[0] == "unequal budgets: lion has 500 steps of 64, adamw has 800 steps of 64"
    assert len(expanded(allow_unequal=True)) == 2


def test_trials_are_equal_too() -> None:
    fixed = ("optimizer.lr=0.1", "optimizer.weight_decay=0")
    found = cells("optimizer=lion,momentum", *fixed)
    assert [len(cell.box) for cell in found] == [0, 0]  # nothing is searched for any
    error = refused("optimizer=lion,sam", *fixed)
    assert error.args[0] == "unequal budgets: sam is tuned, lion has nothing to search"
    assert "--allow-unequal" in error.hint
    assert len(cells("optimizer=lion,sam", *fixed, allow_unequal=True)) == 2


# -- boxes -------------------------------------------------------------------------------------------------------------


def test_published_boxes() -> None:
    lion, sam = cells("optimizer=lion,sam")
    assert lion.box.as_dict() == {"optimizer.lr": "log [9e-06, 0.009]", "optimizer.weight_decay": "log [0.001, 10]"}
    assert lion.metadata["searched"] == ["optimizer.lr", "optimizer.weight_decay"]  # reports read it from run.json
    assert sam.box.as_dict() == {
        "optimizer.lr": "log [0.003, 3]",
        "optimizer.rho": "log [0.005, 0.5]",
        "optimizer.weight_decay": "log [5e-06, 0.05]",
    }


def test_a_given_interval_takes_the_place_of_the_published_one_and_a_value_of_its_dimension() -> None:
    (cell,) = cells("optimizer=lion", "optimizer.lr=interval(0.1,0.2)", "optimizer.weight_decay=0.1")
    assert cell.box.as_dict() == {"optimizer.lr": "[0.1, 0.2]"}
    (cell,) = cells("optimizer=lion", "schedule.warmup=interval(0,0.2)")
    assert list(cell.box.as_dict()) == ["optimizer.lr", "optimizer.weight_decay", "schedule.warmup"]
    (cell,) = cells("optimizer=adamw", "optimizer.lr=0.1,0.2")
    assert cell.box.as_dict()["optimizer.lr"] == "{0.1, 0.2}"


def test_whole_numbers_are_searched_where_a_key_takes_no_others() -> None:
    (cell,) = cells("optimizer=adamw", "lookahead=true", "lookahead.k=interval(2,8)", "ema=true")
    assert cell.box.as_dict()["lookahead.k"] == "int [2, 8]"
    (cell,) = cells("optimizer=adamw", "optimizer.lr=interval(1,2)")
    assert cell.box.as_dict()["optimizer.lr"] == "[1, 2]"
    error = refused("optimizer=adamw", "lookahead=true", "lookahead.k=interval(2.5,8)")
    assert error.args[0].startswith("lookahead.k=2.5: expected")


def test_a_compared_value_is_not_searched() -> None:
    found = cells("optimizer=lion", "optimizer.lr=tag(compare,choice(0.01,0.1))")
    assert [cell.label for cell in found] == ["optimizer.lr=0.01", "optimizer.lr=0.1"]
    assert all(list(cell.box.as_dict()) == ["optimizer.weight_decay"] for cell in found)


BOXES = """
overrides: ["optimizer=lion,adamw", model=mlp]
boxes: {lion: {lr: "log [1e-6, 1e-4]"}}
"""


def test_the_box_of_a_study_file_takes_the_place_of_the_published_one(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(BOXES)
    lion, adamw = cells(file=file)
    assert lion.box.as_dict() == {"optimizer.lr": "log [1e-06, 0.0001]"}
    assert list(adamw.box.as_dict()) == ["optimizer.lr", "optimizer.weight_decay", "optimizer.betas.1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lion: {lr", "loin: {lr", "boxes: there is no optimizer 'loin'"),
        ("{lr:", "{lrr:", "optimizer=lion: optimizer.lrr=1e-06: there is no key 'optimizer.lrr'"),
        ("1e-6,", "0,", 'optimizer=lion: optimizer.lr: "log [0, 1e-4]": a logarithmic interval must be above zero'),
        ("1e-4]", "1e-4", "not an interval"),
    ],
)
def test_a_mistake_in_a_box(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(BOXES.replace(old, new))
    assert message in refused(file=file).args[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("optimizer=lion,adamx",), "optimizer=adamx: there is no optimizer 'adamx'"),
        (("optimizer=lion", "optimizer.lr=interval(-1,1)"), "optimizer.lr=-1.0: expected a number in [0, inf)"),
        (("optimizer=lion,sgd", "optimizer.rho=interval(0,1)"), "optimizer=lion: optimizer.rho=0.0: there is no key"),
        (("optimizer=lion", "steps=interval(1,5)"), "steps: only hyperparameters can be searched"),
        (("optimizer=lion", "nothing=1,2"), "nothing=1: there is no key 'nothing'"),
    ],
)
def test_a_mistake_in_any_cell_is_reported_before_anything_runs(words: tuple[str, ...], message: str) -> None:
    assert refused(*words).args[0].startswith(message)


# -- protocols ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["algoperf-external", "algoperf-self"])
def test_a_protocol_by_targets_needs_one(protocol: str) -> None:
    error = refused("optimizer=lion", "target=null", protocol=protocol)
    assert "needs a target; model=mlp data=digits has none" in error.args[0]
    assert "optbench targets set mlp" in error.hint


def test_algoperf_self_searches_nothing_for_longer() -> None:
    (cell,) = cells("optimizer=lion", "target=0.9", protocol="algoperf-self")
    assert len(cell.box) == 0
    assert cell.config.steps == 1650
    assert cell.config.stop_at_target


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_has_the_run_id_of_optbench_run_with_the_same_overrides() -> None:
    from optbench import config

    (cell,) = cells("optimizer=sam")
    planned = cell.run("tune", 3, 7, {"optimizer.lr": 0.25})
    words = ["model=mlp", "optimizer=sam", "steps=550", "optimizer.lr=0.25", "seed=7"]
    assert planned.run_id == config.load(words).run_id
    assert (planned.stage, planned.trial, planned.cell) == ("tune", 3, 0)
    assert json.dumps(planned.config.as_dict(), default=str)
