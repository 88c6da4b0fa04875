"""What one contender alone is given: dropped in a comparison unless asked for, and always said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optbench.config import load
from optbench.sweeps.display.summary import given_lines
from optbench.sweeps.study.cells import Cell
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.given import dropped_lines
from optbench.sweeps.study.study import make_study

BETAS = "optimizer.betas=[0.5,0.999] (recipe dcgan-digits-adamw.yaml)"


def cells(*words: str, config_dir: Path | None = None, **given: Any) -> dict[str, Cell]:
    found = expand(make_study(words, given, config_dir=config_dir), config_dir)
    return {cell.label: cell for cell in found}


def betas(cell: Cell) -> list[float]:
    return list(cell.config.optimizer.settings["betas"])


def test_a_recipe_of_one_contender_does_not_decide_a_comparison() -> None:
    found = cells("optimizer=lion,adamw", "model=dcgan")
    adamw = found["adamw"]
    assert betas(adamw) == [0.9, 0.999]  # as published, like lion's
    assert (adamw.given, adamw.dropped) == ((), (BETAS,))
    assert found["lion"].dropped == ()
    assert dropped_lines(list(found.values())) == [
        f"adamw: published values in place of {BETAS}, which the others don't have; "
        "an override gives the same to all, --recipes keeps it"
    ]
    assert load(adamw.config.overrides).run_id == adamw.config.run_id  # the run can be typed again


def test_a_recipe_is_dropped_at_every_budget() -> None:
    found = cells("optimizer=lion,adamw", "model=dcgan", more_budgets={"adamw": [0.5]})
    assert betas(found["adamw x1"]) == betas(found["adamw x0.5"]) == [0.9, 0.999]
    assert (found["adamw x0.5"].given, found["adamw x0.5"].dropped) == ((), (BETAS,))


def test_a_recipe_that_was_asked_for_is_kept_and_said() -> None:
    adamw = cells("optimizer=lion,adamw", "model=dcgan", recipes=True)["adamw"]
    assert betas(adamw) == [0.5, 0.999]
    assert (adamw.given, adamw.dropped) == ((BETAS,), ())
    assert adamw.metadata["given"] == [BETAS]
    assert given_lines([{"cell": "adamw", "given": adamw.given}]) == [f"adamw alone has {BETAS}"]


def test_alone_or_with_all_alike_a_recipe_stays() -> None:
    (adamw,) = cells("optimizer=adamw", "model=dcgan").values()
    assert betas(adamw) == [0.5, 0.999]
    assert adamw.given == (BETAS,)  # a later comparison of studies can say it
    both = cells("optimizer=adam,adamw", "model=dcgan", "optimizer.weight_decay=0")
    assert [betas(cell) for cell in both.values()] == [[0.5, 0.999]] * 2  # each by its own recipe
    assert [cell.given + cell.dropped for cell in both.values()] == [(), ()]
    mixed = cells("optimizer=adam,adamw,nadam", "model=dcgan")
    assert {name: betas(cell) for name, cell in mixed.items()} == {
        name: [0.9, 0.999] for name in ("adam", "adamw", "nadam")
    }


def test_what_is_typed_or_searched_is_not_given() -> None:
    typed = cells("optimizer=lion,adamw", "model=dcgan", "optimizer.betas=[0.5,0.9]")
    assert all(betas(cell) == [0.5, 0.9] and cell.given == cell.dropped == () for cell in typed.values())
    searched = cells("optimizer=adamw,sgd", "model=logreg")["adamw"]  # its recipe sets the searched rate alone
    assert searched.given == searched.dropped == ()
    fixed = cells("optimizer=adamw,lion", "model=logreg", searched=False)["adamw"]
    assert fixed.dropped == ("optimizer.lr=0.03 (recipe logreg-noise-adamw.yaml)",)
    assert fixed.config.optimizer.settings["lr"] == load(["optimizer=adamw", "model=mlp"]).optimizer.settings["lr"]


def test_each_workload_is_compared_for_itself() -> None:
    found = cells("optimizer=lion,adamw", "model=dcgan,mlp")
    assert [label for label, cell in found.items() if cell.dropped] == ["adamw dcgan"]


def test_a_preferred_schedule_is_said() -> None:
    found = cells("optimizer=schedulefree,adamw", "model=mlp")
    assert found["schedulefree"].given == ("schedule=constant (conf/optimizer/schedulefree.yaml)",)
    assert found["adamw"].given == ()
    same = cells("optimizer=schedulefree,adamw", "model=mlp", "schedule=constant")
    assert all(cell.given == () for cell in same.values())


def test_a_budget_in_a_recipe_is_no_value_of_an_optimizer(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mlp-digits-lion.yaml").write_text("# @package _global_\nsteps: 500\n")
    words = ("model=mlp", "optimizer=lion,adamw")
    lion = cells(*words, config_dir=tmp_path, allow_unequal=True)["lion"]
    assert (lion.config.steps, lion.given) == (500, ("steps=500 (recipe mlp-digits-lion.yaml)",))


@pytest.mark.parametrize("optimizer", ["lion", "adamw"])
def test_a_comparison_without_recipes_is_as_before(optimizer: str) -> None:
    found = cells("optimizer=lion,adamw", "model=mlp")[optimizer]
    assert found.config.run_id == load([f"optimizer={optimizer}", "model=mlp"]).run_id
