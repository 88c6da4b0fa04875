"""Search boxes: the rule that all of them follow, boxes by name, elements of lists, and the scale of 1 - value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.cli import app
from optbench.config.boxes import PUBLISHED, box_named, dimensions_of, spans_of
from optbench.config.dimensions import Dimension, dimension_of_spec, spec_of_dimension
from optbench.config.trees import flatten, leaf
from optbench.errors import ConfigError
from optbench.reports.read.settings import ABSENT, value_in
from optbench.sweeps.study.expand import expand, planned
from optbench.sweeps.study.space import Box, neighbour, position, value_at
from optbench.sweeps.study.study import make_study

NAMES = config.options(config.config_folders(None), "optimizer")
ROUNDING = 0.15
"""Decades by which bounds of one or two digits may miss the rule."""
BETA2 = Dimension("optimizer.betas.1", 0.9, 0.999, one_minus=True)


def choice_of(name: str, *words: str) -> config.Choice:
    return config.load([f"optimizer={name}", *words]).optimizer


def cells(*words: str, config_dir: Path | None = None, **given: Any) -> dict[str, Any]:
    found = expand(make_study(words, given, config_dir=config_dir), config_dir)
    return {cell.label: cell for cell in found}


# -- the rule ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_box_is_as_wide_as_all_others_around_what_its_authors_recommend(name: str) -> None:
    choice = choice_of(name)
    for span in spans_of(choice.about, choice.settings):
        said = f"{span.key}: {span.spec}, a {span.kind} recommended at {span.recommended}"
        assert abs(span.decades - span.wanted) <= ROUNDING, f"{said} spans {span.decades:.2f} decades"
        assert span.off_centre <= ROUNDING, f"{said} is {span.off_centre:.2f} decades off its centre"
        assert span.default == 0 or holds(span.key, span.spec, span.default), f"{said} leaves out {span.default}"


def holds(key: str, spec: str, value: float) -> bool:
    dimension = dimension_of_spec(key, spec)
    return dimension.low <= value <= dimension.high


@pytest.mark.parametrize("name", NAMES)
def test_rate_and_decay_are_in_every_box(name: str) -> None:
    choice = choice_of(name)
    kinds = [span.kind for span in spans_of(choice.about, choice.settings)]
    assert "learning rate" in kinds or "factor" in kinds  # d_coef of one that finds its rate
    assert ("weight decay" in kinds) == ("weight_decay" in choice.settings)


@pytest.mark.parametrize("name", NAMES)
def test_every_box_of_a_file_can_be_searched(name: str) -> None:
    for preset, box in choice_of(name).about.get("presets", {}).items():
        typed = [f"optimizer.{key}={value}" for key, value in box.get("when", {}).items()]
        (cell,) = cells(f"optimizer={name}", "model=mlp", *typed, box=preset).values()
        assert cell.box_name == preset and len(cell.box) == len(box) - ("when" in box)


def test_the_rule_notices_a_narrow_box_and_one_beside_the_recommended_value() -> None:
    def span(spec: str, **about: Any) -> Any:
        (found,) = spans_of({"search": {"lr": spec}, **about}, {"lr": 1e-3})
        return round(found.decades, 2), found.wanted, round(found.off_centre, 2), found.recommended

    assert span("log [1e-4, 1e-2]") == (2.0, 3.0, 0.0, (1e-3,))
    assert span("log [1e-4, 1e-1]") == (3.0, 3.0, 0.5, (1e-3,))
    assert span("log [1e-4, 1e-1]", recommended={"lr": 3e-3}) == (3.0, 3.0, 0.02, (3e-3,))
    assert span("log [1e-6, 1e-2]", recommended={"lr": [1e-6, 1e-2]}) == (4.0, 4.0, 0.0, (1e-6, 1e-2))


def test_the_command_prints_each_box(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.main(["list", "boxes", "--json"])
    rows = json.loads(capsys.readouterr().out)
    (row,) = [row for row in rows if (row["optimizer"], row["box"], row["key"]) == ("adamw", PUBLISHED, "betas.1")]
    assert row["search"] == "1 - log [7e-4, 7e-2]" and row["recommended"] == [0.95, 0.999] and row["default"] == 0.999
    assert (row["decades"], row["rule"]) == (2.0, 2.0)
    assert {row["optimizer"] for row in rows} == set(NAMES)


# -- boxes by name -----------------------------------------------------------------------------------------------------


def test_a_study_chooses_a_box_by_name_and_says_which() -> None:
    found = cells("optimizer=adamw,lion", "model=mlp", box="marin")
    assert {cell.box_name for cell in found.values()} == {"marin"}
    assert found["adamw"].box.as_dict()["optimizer.betas.1"] == "{0.9, 0.95, 0.98}"
    published = cells("optimizer=adamw,lion", "model=mlp")
    assert {cell.box_name for cell in published.values()} == {PUBLISHED}
    own = cells("optimizer=adamw,sgd", "model=mlp", box="algoperf", boxes={"sgd": {"lr": "log [1e-3, 1.0]"}})
    assert {name: cell.box_name for name, cell in own.items()} == {"adamw": "algoperf", "sgd": "study"}


def test_a_box_that_an_optimizer_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="optimizer=lion has no box 'algoperf'") as error:
        cells("optimizer=adamw,lion", "model=mlp", box="algoperf")
    assert error.value.hint == "Known: published, marin"


def test_the_box_follows_a_setting_that_changes_the_recommended_rate() -> None:
    assert box_named(choice_of("muon"), None)[0] == PUBLISHED
    name, specs = box_named(choice_of("muon", "optimizer.scale=rms"), None)
    assert (name, specs["lr"]) == ("rms", "log [3e-5, 3e-2]") and "when" not in specs
    assert box_named(choice_of("muon", "optimizer.scale=rms"), PUBLISHED)[0] == PUBLISHED  # asked for


def test_a_study_file_chooses_a_box(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("overrides: [optimizer=adamw, model=mlp]\nbox: marin\n")
    (cell,) = expand(make_study([], {}, file=tmp_path))
    assert cell.box_name == "marin"


@pytest.mark.parametrize(
    ("presets", "wrong"),
    [("{small: [1, 2]}", "presets"), ('{small: {lr: "log [1, 2]", when: rms}}', "presets"), ("[small]", "presets")],
)
def test_boxes_of_the_wrong_form_are_refused(tmp_path: Path, presets: str, wrong: str) -> None:
    (tmp_path / "optimizer").mkdir()
    file = tmp_path / "optimizer" / "mine.yaml"
    file.write_text(f"lr: 0.1\nabout: {{target: torch.optim.SGD, presets: {presets}}}\n")
    with pytest.raises(ConfigError, match=rf"about\.{wrong}="):
        config.load(["optimizer=mine"], tmp_path)


def test_more_dimensions_get_more_trials_equally_for_all() -> None:
    study, _ = planned(make_study(["optimizer=adamw,lion", "model=mlp"], {}))
    assert study.trials == 24  # AdamW's box has three dimensions
    assert planned(make_study(["optimizer=lion", "model=mlp"], {}))[0].trials == 16
    assert planned(make_study(["optimizer=lion", "model=mlp", "optimizer.weight_decay=0"], {}))[0].trials == 8


# -- one element of a list, on the scale of 1 - value ------------------------------------------------------------------


def test_one_element_of_a_list_is_set() -> None:
    by_element = config.load(["optimizer=adamw", "optimizer.betas.1=0.95"])
    whole = config.load(["optimizer=adamw", "optimizer.betas=[0.9,0.95]"])
    assert by_element.optimizer.settings["betas"] == [0.9, 0.95]
    assert by_element.run_id == whole.run_id
    composed = config.Composition(["optimizer=adamw", "optimizer.betas.1=0.95"])
    assert composed.origin("optimizer.betas") == "override optimizer.betas.1=0.95"
    varied = config.Variation(config.Composition(["optimizer=adamw"])).at({"optimizer.betas.1": 0.95})
    assert varied.run_id == whole.run_id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.betas.2=0.9", "the list has 2 elements: 0 to 1"),
        ("optimizer.betas.1=1.5", r"optimizer.betas.1=1.5: expected a number in \[0, 1\)"),
        ("optimizer.lr.1=0.9", "there is no key 'optimizer.lr.1'"),
        ("optimizer.betas.one=0.9", "there is no key 'optimizer.betas.one'"),
    ],
)
def test_an_element_that_is_not_there_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.load(["optimizer=adamw", text])


def test_the_same_element_varied_is_refused_alike() -> None:
    variation = config.Variation(config.Composition(["optimizer=adamw"]))
    with pytest.raises(ConfigError, match="0 to 1"):
        variation.at({"optimizer.betas.2": 0.9})


def test_decay_rates_are_spread_evenly_in_the_logarithm_of_their_distance_to_one() -> None:
    assert [value_at(BETA2, u) for u in (0.0, 0.5, 1.0)] == [0.9, 0.99, 0.999]
    assert value_at(BETA2, 0.25) == round(1 - 0.03162, 12)  # four digits of 1 - value
    assert math.isclose(position(BETA2, 0.99), 0.5)
    assert Box((BETA2,)).edges({"optimizer.betas.1": 0.9985}, 0.1) == [("optimizer.betas.1", "high")]
    assert Box((BETA2,)).edges({"optimizer.betas.1": 0.905}, 0.1) == [("optimizer.betas.1", "low")]
    beyond = neighbour(BETA2, "high"), neighbour(BETA2, "low")
    assert [(d.low, d.high) for d in beyond] == [(0.999, 0.9999), (0.0, 0.9)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("1 - log [1e-3, 1e-1]", BETA2),
        ("1-log [1e-3,1e-1]", BETA2),
        ("{0.9, 0.95}", Dimension("optimizer.betas.1", values=(0.9, 0.95))),
        ("log int [1, 8]", Dimension("optimizer.betas.1", 1.0, 8.0, log=True, integer=True)),
    ],
)
def test_specs(spec: str, expected: Dimension) -> None:
    found = dimension_of_spec("optimizer.betas.1", spec)
    assert repr(found) == repr(expected)
    assert repr(dimension_of_spec("optimizer.betas.1", spec_of_dimension(found))) == repr(expected)


@pytest.mark.parametrize("spec", ["1 - log [0, 0.1]", "1 - [0.1, 0.2]", "2 - log [0.1, 0.2]", "{}", "{a}", "{1, 1}"])
def test_specs_that_are_none(spec: str) -> None:
    with pytest.raises(ConfigError, match="betas"):
        dimension_of_spec("betas.1", spec)


def test_the_command_line_says_it_by_a_tag() -> None:
    (dimension,) = config.parse_sweep(["optimizer.betas.1=tag(one_minus,interval(0.9,0.999))"]).dimensions
    assert dimension == BETA2
    with pytest.raises(ConfigError, match="must end below 1"):
        config.parse_sweep(["optimizer.betas.1=tag(one_minus,interval(0.9,1.0))"])


def test_a_given_list_fixes_its_elements_and_a_dropped_recipe_does_not() -> None:
    assert "optimizer.betas.1" in cells("optimizer=adamw", "model=mlp")["adamw"].box.as_dict()
    for typed in ("optimizer.betas=[0.9,0.95]", "optimizer.betas.1=0.95"):
        assert "optimizer.betas.1" not in cells("optimizer=adamw", "model=mlp", typed)["adamw"].box.as_dict()
    compared = cells("optimizer=adamw,lion", "model=dcgan")["adamw"]
    assert compared.dropped and "optimizer.betas.1" in compared.box.as_dict()
    assert compared.config.optimizer.settings["betas"] == [0.9, 0.999]
    kept = cells("optimizer=adamw,lion", "model=dcgan", recipes=True)["adamw"]
    run = kept.run("tune", 0, 0, {"optimizer.betas.1": 0.99})
    assert run.config.optimizer.settings["betas"] == [0.5, 0.99]
    assert config.load(run.config.overrides).run_id == run.run_id


def test_reports_read_an_element() -> None:
    read = config.load(["optimizer=adamw"]).as_dict()
    assert value_in(read, "optimizer.betas.1") == 0.999 == leaf(flatten(read), "optimizer.betas.1")
    assert value_in(read, "optimizer.betas.2") is ABSENT
    with pytest.raises(KeyError):
        leaf(flatten(read), "optimizer.betas.2")


def test_a_class_may_state_such_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\n\n\nclass Mine(torch.optim.AdamW):\n"
        '    search = {"lr": "log [1e-4, 1e-2]", "betas.1": "1 - log [1e-3, 1e-1]"}\n'
        '    about = {"presets": {"small": {"lr": "{1e-3, 2e-3}"}}}\n'
    )
    mine = choice_of("./mine.py:Mine")
    assert [d.key for d in dimensions_of(box_named(mine, None)[1])] == ["optimizer.lr", "optimizer.betas.1"]
    assert box_named(mine, "small")[1] == {"lr": "{1e-3, 2e-3}"}
    (tmp_path / "wrong.py").write_text((tmp_path / "mine.py").read_text().replace("betas.1", "betas.7"))
    with pytest.raises(ConfigError, match=r"there is no setting 'betas\.7'"):
        choice_of("./wrong.py:Mine")
