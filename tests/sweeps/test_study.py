"""The settings of a study: protocols, study files with their scales, and their precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optbench import config
from optbench.config import read_yaml
from optbench.errors import ConfigError
from optbench.sweeps.scheduler.study_file import changed_settings
from optbench.sweeps.study.study import Study, make_study

CONF = config.packaged_folder()
FILE = """
title: Is Lion better than AdamW?
protocol: default
trials: 8
seeds: 3
sampler: halton
overrides: ["optimizer=lion,adamw", model=mlp]
boxes: {lion: {lr: "log [1e-5, 1e-3]"}}
claim: {measure: test_metric, of: lion, against: adamw, relation: better, margin: 0.01}
scales:
  cpu: {trials: 4, overrides: [steps=50]}
  gpu: {seeds: 10, overrides: [model=vit, steps=5000]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "lion-mlp").mkdir()
    path = tmp_path / "lion-mlp" / "study.yaml"
    path.write_text(FILE)
    return path


def study(*overrides: str, **given: Any) -> Study:
    options = {
        key: given.pop(key) for key in ("protocol", "scale", "name", "file", "config_dir", "root") if key in given
    }
    return make_study(overrides or ("optimizer=lion,adamw", "model=mlp"), given, **options)


def refused(*overrides: str, **given: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        study(*overrides, **given)
    assert "\n" not in caught.value.args[0]
    return caught.value


# -- settings ----------------------------------------------------------------------------------------------------------


def test_defaults_stand_in_the_default_protocol_alone() -> None:
    asked, stated = study(), read_yaml(CONF / "protocol" / "default.yaml")
    stated.pop("about")
    stated.pop("overrides")
    assert set(stated) <= asked.as_dict().keys()
    for key, value in stated.items():
        assert getattr(asked, key) == (tuple(value) if isinstance(value, list) else value)


def test_changed_settings_are_listed() -> None:
    before = {"settings": json.loads(json.dumps(study().as_dict()))}
    assert changed_settings(before, study()) == []
    assert changed_settings(before, study(trials=32, sampler="halton")) == [
        "trials: 0 -> 32",
        "sampler: auto -> halton",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 0}, "trials=0: expected a number greater than or equal to 1"),
        ({"seeds": -1}, "seeds=-1: expected a number greater than or equal to 0"),
        (
            {"sampler": "sobl"},
            "sampler=sobl: expected 'auto', 'sobol', 'halton', 'random', 'grid', 'tpe', 'gp' or 'cmaes'",
        ),
        ({"pruner": "x"}, "pruner=x: expected 'none', 'asha', 'hyperband', 'median' or 'wilcoxon'"),
        ({"budgets": [0.5, 0.5]}, "budgets=[0.5, 0.5]: give one or more different shares, e.g. 0.25,0.5,1"),
        ({"budgets": [0.0]}, "budgets[0]=0.0: expected a number greater than 0"),
        ({"budgets": []}, "budgets=[]: give one or more different shares, e.g. 0.25,0.5,1"),
        ({"trials": 10, "groups": 3}, "trials=10: must be a multiple of groups=3"),
        ({"pruner": "wilcoxon"}, "--pruner wilcoxon: compares trials over seeds and needs 5 of each"),
        ({"trails": 3}, "trails: unknown key"),
    ],
)
def test_a_bad_setting(given: dict[str, Any], message: str) -> None:
    assert refused(**given).args[0] == message


def test_a_misspelt_setting_gets_a_suggestion() -> None:
    assert refused(trails=3).hint == "Did you mean trials?"
    assert refused(protocol="algoperf-externl").hint == "Did you mean --protocol algoperf-external?"
    assert "default" in refused(protocol="xyz").hint
    assert refused(protocol="xyz").args[0] == "--protocol xyz: unknown protocol"


def test_the_last_override_of_a_key_wins_and_budgets_are_sorted() -> None:
    asked = study("optimizer=lion", "steps=5", "optimizer=adamw,sgd", budgets=[1, 0.25])
    assert set(asked.overrides) == {"optimizer=adamw,sgd", "steps=5"}
    assert asked.budgets == (0.25, 1.0)


# -- names -------------------------------------------------------------------------------------------------------------


def test_the_name_is_that_of_the_overrides_in_any_order_and_not_of_trials_or_seeds() -> None:
    one = study("optimizer=lion,adamw", "model=mlp")
    assert one.name.startswith("lion_adamw-mlp-")
    assert study("model=mlp", "optimizer=lion,adamw", trials=99, seeds=9).name == one.name
    assert study("model=mlp", "optimizer=lion,adamw", "steps=5").name != one.name
    assert study(name="mine").name == "mine"


@pytest.mark.parametrize("words", [("optimizer=./a/b.py:Mine", "model=mlp"), ("optimizer=glob(*)", "model=glob(*)")])
def test_a_name_is_a_plain_folder_name(words: tuple[str, ...]) -> None:
    name = study(*words).name
    assert len(name) <= 60
    assert not set(name) & set("/\\: *?\"'<>|")
    assert name[0].isalnum()


# -- protocols ---------------------------------------------------------------------------------------------------------


def test_algoperf_external_by_its_rules() -> None:
    asked = study(protocol="algoperf-external")
    assert (asked.trials, asked.groups, asked.seeds, asked.tune_seeds) == (15, 3, 0, 1)
    assert asked.fresh_seeds
    assert asked.needs_target
    assert "stop_at_target=true" in asked.overrides


def test_algoperf_self_tuning_searches_nothing_at_one_and_a_half_budgets() -> None:
    asked = study(protocol="algoperf-self")
    assert (asked.searched, asked.seeds, asked.budgets, asked.needs_target) == (False, 3, (1.5,), True)


@pytest.mark.parametrize(
    ("protocol", "key", "value"),
    [
        ("algoperf-external", "trials", 16),
        ("algoperf-external", "seeds", 5),
        ("algoperf-external", "sampler", "random"),
        ("algoperf-external", "pruner", "asha"),
        ("algoperf-self", "budgets", [1.0]),
        ("algoperf-self", "seeds", 5),
        ("targets", "finalists", "each"),
    ],
)
def test_fixed_settings_of_a_protocol_cannot_be_changed(protocol: str, key: str, value: Any) -> None:
    error = refused(protocol=protocol, **{key: value})
    assert error.args[0].startswith(f"--protocol {protocol} fixes {key}=")
    assert error.hint == f"Leave out {key}, or choose another protocol"


def test_fixed_settings_may_be_repeated_and_others_changed() -> None:
    assert study(protocol="algoperf-external", trials=15).trials == 15
    assert study(protocol="algoperf-external", search_seed=7).search_seed == 7
    assert study(protocol="targets", trials=3).trials == 3


def test_a_custom_protocol(tmp_path: Path) -> None:
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "quick.yaml").write_text("trials: 2\nabout: {fixed: [trials]}\n")
    assert study(protocol="quick", config_dir=tmp_path).trials == 2
    assert study(protocol="quick", config_dir=tmp_path).seeds == 8


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_file_at_its_first_scale(file: Path) -> None:
    asked = make_study([], {}, file=file)
    assert asked.title == "Is Lion better than AdamW?"
    assert (asked.scale, asked.trials, asked.seeds, asked.sampler) == ("cpu", 4, 3, "halton")
    assert set(asked.overrides) == {"optimizer=lion,adamw", "model=mlp", "steps=50"}
    assert asked.boxes == {"lion": {"lr": "log [1e-5, 1e-3]"}}
    assert asked.claim == {
        "measure": "test_metric",
        "of": "lion",
        "against": "adamw",
        "relation": "better",
        "margin": 0.01,
    }
    assert asked.name.startswith("lion-mlp")


def test_scales_are_studies_of_their_own(file: Path) -> None:
    names = {make_study([], {}, file=file, scale=scale).name for scale in ("cpu", "gpu")}
    assert len(names) == 2
    assert make_study([], {}, file=file.parent).name == make_study([], {}, file=file).name  # the folder will do


def test_the_scale_wins_over_the_file_and_the_command_line_over_both(file: Path) -> None:
    scaled = make_study([], {}, file=file, scale="gpu")
    assert (scaled.trials, scaled.seeds) == (8, 10)
    assert "model=vit" in scaled.overrides
    assert "model=mlp" not in scaled.overrides
    said = make_study(["steps=7"], {"seeds": 1, "trials": None}, file=file, scale="gpu")
    assert (said.trials, said.seeds) == (8, 1)
    assert "steps=7" in said.overrides
    assert "steps=5000" not in said.overrides


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials: 8", "trails: 8", "trails: unknown key"),
        ("seeds: 3", "seeds: many", "seeds=many: expected a whole number"),
        ("trials: 8", "scale: cpu", "scale: unknown key"),
        ("protocol: default", "protocol: defalt", "--protocol defalt: unknown protocol"),
        ('["optimizer=lion,adamw", model=mlp]', "optimizer=lion", "overrides=optimizer=lion: expected a list"),
        ("{lion: {lr:", "{lion: 3, x: {lr:", "boxes.lion=3: expected a mapping"),
        ("relation: better", "relation: best", "claim.relation=best"),
        ("against: adamw, ", "", "claim.against: missing"),
        ("margin:", "margins:", "claim.margins: unknown key"),
        ("cpu: {trials: 4, overrides: [steps=50]}", "cpu: 4", "scales.cpu=4: expected a mapping"),
    ],
)
def test_a_mistake_in_a_file(file: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        make_study([], {}, file=file)
    assert message in caught.value.args[0]
    assert "\n" not in caught.value.args[0]


def test_no_such_file_or_scale(file: Path, tmp_path: Path) -> None:
    assert f"{tmp_path / 'x.yaml'}: no such study file" in refused(file=tmp_path / "x.yaml").args[0]
    error = refused(file=file, scale="paper")
    assert error.args[0] == f"--scale paper: {file} has no such scale"
    assert error.hint == "Known: cpu, gpu"
    assert refused(scale="cpu").args[0] == "--scale: only a study file has scales"


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "trials: [\n", "3"])
def test_a_file_that_is_not_a_study(file: Path, text: str) -> None:
    file.write_text(text)
    if text == "":
        assert make_study(["optimizer=lion"], {}, file=file).trials == 0
        return
    with pytest.raises(ConfigError) as caught:
        make_study(["optimizer=lion"], {}, file=file)
    assert str(file) in caught.value.args[0]


# -- studies from before -----------------------------------------------------------------------------------------------

NEW = {"shortlist", "shortlist_seeds", "scrambles", "recipes", "paired"}  # settings that it did not have


def old_study(root: Path, **given: Any) -> Study:
    """Write the study.json of an old version, and return its settings."""
    begun = study(protocol="classic", name="s", **given)
    settings = {**{key: value for key, value in begun.as_dict().items() if key not in NEW}, "protocol": "default"}
    (root / "s").mkdir()
    (root / "s" / "study.json").write_text(json.dumps({"settings": settings, "cells": []}))
    return begun


def test_a_study_from_before_goes_on_by_its_own_rules(tmp_path: Path) -> None:
    begun = old_study(tmp_path)
    again = study(name="s", root=tmp_path)
    assert again == begun
    assert (again.trials, again.seeds, again.sampler, again.shortlist, again.paired) == (16, 5, "sobol", 0, False)
    previous = json.loads((tmp_path / "s" / "study.json").read_text())
    assert changed_settings(previous, again) == []
    more = study(name="s", root=tmp_path, trials=32, shortlist=3)
    assert changed_settings(previous, more) == ["trials: 16 -> 32", "shortlist: 0 -> 3"]
    new = study(name="s", root=tmp_path, protocol="default")
    assert "sampler: sobol -> auto" in changed_settings(previous, new)


def test_a_study_keeps_its_protocol_the_next_times_too(tmp_path: Path) -> None:
    begun = old_study(tmp_path)
    (tmp_path / "s" / "study.json").write_text(json.dumps({"settings": begun.as_dict(), "cells": []}))
    assert study(name="s", root=tmp_path) == begun
    assert study(name="t", root=tmp_path).protocol == "default"


def test_a_file_that_names_its_protocol_is_obeyed(tmp_path: Path, file: Path) -> None:
    old_study(tmp_path)
    assert study(file=file, name="s", root=tmp_path).protocol == "default"
