"""Optimizers of packages, which cannot be edited: served by their kind, or refused with words that work as typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.benches import strangers
from optbench.config.files import read_yaml
from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError, OptbenchError
from optbench.optimizers.core.first_argument import first_argument
from optbench.sessions.assemble import assemble
from optbench.sessions.compatible import check_ranks
from optbench.sessions.execute import FinishedRun, execute

ROOT = Path(__file__).parents[2]
FILE = re.compile(r"about: (\{.*\}) in conf/optimizer/mine\.yaml, then optimizer=mine --config-dir conf")


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FinishedRun]:
    """Run an optimizer of the zoo by its import path, or the file `mine`, for two steps."""
    monkeypatch.chdir(Path(__file__).parent)

    def run(name: str, *words: str) -> FinishedRun:
        path = name if name == "mine" else f"strangers_zoo.{name}"
        common = ["model=mlp", "steps=2", "tracker=none", "threads=1", "eval_train_samples=64"]
        return execute(config.load([f"optimizer={path}", *common, *words], tmp_path), tmp_path / "results")

    return run


def said(run: Callable[[], FinishedRun]) -> str:
    """Return what a run that must not succeed says."""
    try:
        ended = run()
    except OptbenchError as error:
        return str(error)
    assert ended.result["status"] == "failed"
    return ended.result["reason"]


HELPED = {
    "AssertsFlag": 'AssertionError: assert "is_matrix" in group',
    "NamesFlag": "`is_matrix` must be set.",
    "ReadsKey": "KeyError: 'rank'",
    "AssertsDimensions": "AssertionError: assert p.ndim >= 2 (at step 0",
    "WantsNet": "'list' object has no attribute 'named_parameters'",
    "Differentiates": "does not require grad",
}


@pytest.mark.parametrize("name", HELPED)
def test_the_file_that_a_message_names_works_as_typed(
    name: str, stranger: Callable[..., FinishedRun], tmp_path: Path
) -> None:
    message = said(lambda: stranger(name))
    assert HELPED[name] in message
    found = FILE.search(message)
    assert found, message
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(f"about: {found[1]}".replace("VALUE", "8"))
    assert stranger("mine").result["status"] == "completed"


def test_a_flag_of_groups_is_true_for_matrices_alone(stranger: Callable[..., FinishedRun]) -> None:
    message = said(lambda: stranger("AssertsFlag"))
    assert "groups: {matrices: {is_matrix: true}, rest: {is_matrix: false}}" in message


REFUSED = {
    "WantsTensors": "A run passes parameter groups as 'params'. Name a function",
    "AroundAnother": "A run passes parameter groups as 'base'. Name a function",
    "NoStep": "NoStep has no step() of its own",
    "Annealed": "Set it to a number: optimizer.probability=VALUE",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_kinds_are_explained(name: str, stranger: Callable[..., FinishedRun]) -> None:
    assert REFUSED[name] in said(lambda: stranger(name))


def test_the_words_for_a_function_in_the_state_work(stranger: Callable[..., FinishedRun]) -> None:
    assert stranger("Annealed", "optimizer.probability=0.5").result["status"] == "completed"


def test_a_class_that_names_its_argument_model_gets_the_model(stranger: Callable[..., FinishedRun]) -> None:
    ended = stranger("TakesModel")
    assert ended.result["status"] == "completed"
    assert "no_decay" not in ended.run["config"]["optimizer"]  # it chooses itself what decays


def test_without_a_whole_network_such_a_class_is_refused() -> None:
    problem = Problem((Parameter("a", torch.zeros(2, 2), "matrix"),))
    with pytest.raises(ConfigError, match="takes the model itself"):
        first_argument(problem, {}, {"takes": "model"}, None)


def test_a_class_with_weights_for_evaluation_has_a_constant_schedule_unless_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    path = "optimizer=strangers_zoo.Averages"
    assert config.load([path]).schedule.name == "constant"
    assert config.load([path, "schedule=cosine"]).schedule.name == "cosine"
    assert config.load(["optimizer=strangers_zoo.Plain"]).schedule.name == "cosine"


def test_gradients_have_a_graph_only_for_a_step_that_differentiates_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    (tmp_path / "optimizer").mkdir()
    text = "about: {target: strangers_zoo.Differentiates, needs: [double_backward]}"
    (tmp_path / "optimizer" / "mine.yaml").write_text(text)
    for name, differentiable in (("mine", True), ("sophia_h", False), ("sgd", False)):
        loaded = config.load([f"optimizer={name}", "model=mlp", "threads=1"], tmp_path)
        (player,) = assemble(loaded).trainer.players.values()
        assert player.differentiable is differentiable


def test_several_ranks_refuse_what_each_has_of_its_own() -> None:
    choice = config.load(["optimizer=sophia_h"]).optimizer
    check_ranks(choice, ["curvature", "double_backward"], 2)
    for needs, words in ((["double_backward"], "differentiates its gradients"), (["modules"], "inputs of its layers")):
        with pytest.raises(ConfigError, match=f"{words}, but each of 2 ranks"):
            check_ranks(choice, needs, 2)


# -- the list ----------------------------------------------------------------------------------------------------------


def test_the_bench_tries_as_typed_and_with_the_file() -> None:
    report = strangers.measure(config.load(["threads=1", "device=cpu"]), only="torch.optim.Muon", steps=2)
    (row,) = report["rows"]
    assert "takes: matrices" in row["typed"]
    assert row["then"] == "completed"
    assert "| torch.optim.Muon | torch " in strangers.lines(report)[-1]


def test_the_bench_knows_its_list_alone_and_tells_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"not in strangers.yaml\nDid you mean torch.optim.Muon"):
        strangers.measure(config.load([]), only="torch.optim.Moun")
    monkeypatch.setattr(strangers, "read_yaml", lambda file: {"nowhere_at_all.Adam": None})
    report = strangers.measure(config.load([]))
    assert "| nowhere_at_all.Adam | not installed |  |  |  |" in strangers.lines(report)


def test_answers_are_found_among_what_packages_print() -> None:
    printed = 'Found 3 blocks\n{"num_choices": 2}\n{not json\n' + json.dumps({"error": "no", "hint": "do"}, indent=1)
    assert strangers.in_words(printed) == "no. do"
    assert strangers.in_words('{"status": "completed", "reason": null}') == "completed"
    assert strangers.in_words("") == "ended without an answer"


def test_the_guide_has_a_row_for_each_of_the_list() -> None:
    rows = re.findall(r"^\| (\S+) \|", (ROOT / "docs/own/strangers.md").read_text(), re.MULTILINE)
    assert set(read_yaml(strangers.LIST)) == {row for row in rows if "." in row}
