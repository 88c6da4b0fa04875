"""Workloads, recipes, and the optimizer of a second player."""

from __future__ import annotations

from pathlib import Path

import pytest

from optbench import config
from optbench.config import Composition
from optbench.errors import ConfigError

TWO = """# A model of two players.
hidden: [4]   # units
task:
  target: somewhere.Task
about:
  target: somewhere.build
  data: digits
  players: {generator: optimizer, discriminator: optimizer_d}
  valid: {hidden: "list int [1, 100]"}
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for folder in ("model", "workload", "recipe"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "two.yaml").write_text(TWO)
    (tmp_path / "workload" / "two-digits.yaml").write_text("# @package _global_\nsteps: 7\nmodel: {hidden: [9]}\n")
    (tmp_path / "recipe" / "two-digits-adam.yaml").write_text(
        "# Adam there.\noptimizer: {lr: 0.5}\nema: {decay: 0.9}\n"
    )
    return tmp_path


def test_a_recipe_applies_only_to_its_optimizer_and_below_overrides(conf: Path) -> None:
    adam = config.load(["model=two", "optimizer=adam"], conf)
    assert adam.optimizer.settings["lr"] == 0.5
    assert [modifier.name for modifier in adam.modifiers] == ["ema"]
    assert config.load(["model=two", "optimizer=adamw"], conf).optimizer.settings["lr"] == 1e-3
    assert config.load(["model=two", "optimizer=adam", "optimizer.lr=2"], conf).optimizer.settings["lr"] == 2
    assert config.load(["optimizer=adam"], conf).optimizer.settings["lr"] == 1e-3


def test_a_workload_sets_keys_of_groups_below_overrides(conf: Path) -> None:
    assert config.load(["model=two"], conf).model.settings["hidden"] == [9]
    assert config.load(["model=two", "model.hidden=[3]"], conf).model.settings["hidden"] == [3]
    assert config.load(["model=two"], conf).steps == 7


def test_a_workloads_budget_in_samples_gives_way_to_steps(conf: Path) -> None:
    (conf / "workload" / "two-digits.yaml").write_text("# @package _global_\nsamples: 640\nbatch_size: 64\n")
    assert config.load(["model=two"], conf).steps == 10
    assert config.load(["model=two", "batch_size=32"], conf).steps == 20
    assert config.load(["model=two", "steps=7"], conf).steps == 7
    with pytest.raises(ConfigError, match="steps and samples are both given"):
        config.load(["model=two", "steps=7", "samples=70"], conf)


def test_origins_name_the_file(conf: Path) -> None:
    composition = Composition(["model=two", "optimizer=adam"], conf)
    assert composition.origin("optimizer.lr").endswith("two-digits-adam.yaml")
    assert composition.origin("model.hidden").endswith("two-digits.yaml")
    assert composition.origin("optimizer.eps") == "conf/optimizer/adam.yaml"


def test_a_recipe_with_an_unknown_key_is_named(conf: Path) -> None:
    (conf / "recipe" / "two-digits-adam.yaml").write_text("# Adam there.\noptimizer: {lrr: 0.5}\n")
    with pytest.raises(ConfigError, match=r"recipe two-digits-adam\.yaml: there is no key 'optimizer\.lrr'"):
        config.load(["model=two", "optimizer=adam"], conf)


def test_both_players_train_with_the_same_optimizer_by_default(conf: Path) -> None:
    both = config.load(["model=two"], conf)
    assert both.optimizer_d is None
    assert both.optimizer_of("discriminator") is both.optimizer
    assert "optimizer_d" not in both.as_dict()


def test_one_key_copies_the_first_players_optimizer(conf: Path) -> None:
    both = config.load(["model=two", "optimizer=adam", "optimizer.eps=1e-5", "optimizer_d.lr=4e-4"], conf)
    first, second = both.optimizer_of("generator"), both.optimizer_of("discriminator")
    assert (first.settings["lr"], second.settings["lr"]) == (0.5, 4e-4)
    assert first.settings["eps"] == second.settings["eps"] == 1e-5
    assert second.name == "adam"
    assert both.run_id != config.load(["model=two", "optimizer=adam", "optimizer.eps=1e-5"], conf).run_id
    composition = Composition(["model=two", "optimizer=adam", "optimizer_d.lr=4e-4"], conf)
    assert composition.origin("optimizer_d.lr") == "override optimizer_d.lr=4e-4"
    assert composition.origin("optimizer_d.betas") == "conf/optimizer/adam.yaml"


def test_another_optimizer_for_the_second_player(conf: Path) -> None:
    both = config.load(["model=two", "optimizer=adam", "optimizer_d=lion", "optimizer_d.lr=3e-5"], conf)
    assert both.optimizer_of("discriminator").name == "lion"
    assert both.optimizer_of("discriminator").settings["lr"] == 3e-5
    assert both.optimizer_of("generator").settings["lr"] == 0.5
    by_timm = config.load(["model=two", "optimizer_d=timm/lion", "optimizer_d.lr=1e-4"], conf)
    assert by_timm.optimizer_of("discriminator").settings["impl"] == "timm"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=vit", "optimizer_d=lion"], "model=vit has one player"),
        (["model=two", "optimizer_d=lionn"], "Did you mean optimizer_d=lion?"),
        (["model=two", "optimizer_d.lrr=1"], "Did you mean optimizer_d.lr?"),
        (["model=two", "optimizer_d.lr=-1"], "expected a number in [0, inf)"),
        (["scale_lr=sqrt"], "scale_from is missing"),
        (["micro_batch=128", "batch_size=64"], "micro_batch=128 is larger than batch_size=64"),
        (["micro_batch=all"], "'auto'"),
    ],
)
def test_mistakes_give_a_short_error(conf: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(overrides, conf)
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_model_and_data_of_different_kinds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model=vit reads images, and data=pydocs is text"):
        config.load(["model=vit", "data=pydocs"])
