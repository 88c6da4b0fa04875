"""Optimizers of the user's own, given by path: each kind is served, or refused in one line that shows the way out."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.errors import ConfigError, OptbenchError
from optbench.sessions.execute import FinishedRun, execute
from optbench.sweeps.study.expand import expand
from optbench.sweeps.study.study import make_study

ZOO = Path(__file__).with_name("own_zoo.py")
Run = Callable[..., FinishedRun]


@pytest.fixture
def own(quick_run: Run) -> Run:
    """Run an optimizer of the zoo for two steps."""
    return lambda name, *words, **how: quick_run(
        f"optimizer={ZOO}:{name}", "steps=2", "eval_train_samples=64", *words, **how
    )


SERVED = "Infinite Named ParamsLast KeywordsAlone OddDefaults TensorLr NoneFromStep OnlyClosure NewData Swaps Matrices"
SERVED += " RanksGiven Searched factory partial EightBits HiddenBits Projects WantsModel"


@pytest.mark.parametrize("name", SERVED.split())
def test_kinds_that_are_served(name: str, own: Run) -> None:
    ended = own(name)
    assert ended.result["status"] == "completed", ended.result["reason"]
    assert ended.run["config"]["optimizer"]["name"] == name
    state = torch.load(next((ended.folder / "checkpoints").iterdir()), weights_only=True)
    assert state["trainer"]


REFUSED = {
    "RaisesAtFirst": "own_zoo.py, line",
    "RaisesInStateDict": "RaisesInStateDict.state_dict(): own_zoo.py, line",
    "StepWantsMore": "StepWantsMore.step needs 'loss'",
    "OtherLr": "schedule=cosine scales 'lr', which OtherLr's parameter groups do not have",
    "TakenWord": "the argument 'impl' cannot be a setting",
    "TwoDimensions": '{"takes": "matrices"}',
    "WrongFact": "unknown fact 'evaluation'\nDid you mean evaluations?",
    "WrongForm": "about.needs=closure: expected a list of texts",
    "WrongTakes": "about.takes=matrixes: unknown form\nDid you mean matrices?",
    "SearchesNothing": "search: there is no setting 'lrr'\nDid you mean lr?",
    "WrongInterval": "not an interval",
    "SearchIsAList": "search=['lr']: expected a mapping",
    "Forgets": "must hold every parameter exactly once",
    "KeepsDeques": "state_dict()['state'][0]['losses'] is a collections.deque",
    "KeepsArrays": "state_dict()['state'][0]['m'] is a numpy.ndarray",
    "KeepsFunctions": "state_dict()['param_groups'][0]['decay'] is a function",
    "Ranks": "Ranks looks for 'rank' in its groups",
    "NUMBER": "3 cannot be called",
    "NotAnOptimizer": "it has no method 'step'",
    "Sam": "optimizer.base_optimizer: a value is missing",
    "Missing": "own_zoo.py has no 'Missing'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_kinds_that_are_refused_say_why(name: str, own: Run) -> None:
    with pytest.raises(ConfigError) as caught:
        own(name)
    assert REFUSED[name] in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_an_error_in_a_step_is_a_result_that_names_the_line(own: Run) -> None:
    ended = own("RaisesInStep")
    assert ended.result["status"] == "failed"
    assert ended.result["reason"].startswith("own_zoo.py, line ")
    assert "ValueError: the step is broken (at step 0" in ended.result["reason"]
    assert "Traceback" in (ended.folder / "error.txt").read_text()


def test_an_infinite_default_stays_legal() -> None:
    loaded = config.load([f"optimizer={ZOO}:Infinite"])
    assert loaded.optimizer.settings["growth_rate"] == "inf"  # JSON has no infinity
    for word, value in (("inf", "inf"), ("3.0", 3.0)):
        assert (
            config.load([f"optimizer={ZOO}:Infinite", f"optimizer.growth_rate={word}"]).optimizer.settings[
                "growth_rate"
            ]
            == value
        )
    with pytest.raises(ConfigError, match="expected 'inf'"):
        config.load([f"optimizer={ZOO}:Infinite", "optimizer.growth_rate=nan"])
    with pytest.raises(ConfigError, match="expected a number"):
        config.load([f"optimizer={ZOO}:Infinite", "optimizer.lr=inf"])


def test_an_inner_optimizer_is_named_by_its_path_and_is_part_of_the_run(own: Run, tmp_path: Path) -> None:
    inner = tmp_path / "inner.py"
    inner.write_text("import torch\nclass Inner(torch.optim.SGD):\n    pass\n")
    words = (f"optimizer={ZOO}:Sam", f"optimizer.base_optimizer={inner}:Inner")
    first = config.load(words).run_id
    inner.write_text(inner.read_text() + "# another version\n")
    assert config.load(words).run_id != first
    ended = own("Sam", "optimizer.base_optimizer=torch.optim.SGD")
    assert (ended.result["status"], ended.result["gradient_evaluations"]) == ("completed", 4)
    with pytest.raises(ConfigError, match=r"torch.optim has no 'SGDD'\nDid you mean SGD"):
        own("Sam", "optimizer.base_optimizer=torch.optim.SGDD")


def test_undeclared_gradient_evaluations_are_said_and_refused_in_a_sweep(
    own: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert own("UndeclaredSam").result["status"] == "completed"
    assert "took 2 gradient evaluations in its first step, and declares one" in caplog.text
    with pytest.raises(ConfigError, match="took 2 gradient evaluations"):
        own("UndeclaredSam", "seed=1", sweep={"cell": "x"})


def test_an_optimizer_of_matrices_has_adamw_for_the_rest(own: Run) -> None:
    ended = own("Matrices", "optimizer.rest.lr=0.5", "optimizer.no_decay=[]")
    assert ended.run["config"]["optimizer"]["rest"]["lr"] == 0.5
    rest = 1280 + 266  # the head and the biases of the MLP: two moments each, and a counter for each tensor
    assert ended.result["bytes"]["optimizer_state"] == {"float32": 4 * (2 * rest + 4)}
    with pytest.raises(ConfigError, match=r"Did you mean optimizer\.rest\.lr\?"):
        own("Matrices", "optimizer.rest.lrr=1")


def test_settings_of_groups_are_settings(own: Run) -> None:
    ended = own("RanksGiven", "optimizer.matrices.rank=3")
    assert ended.run["config"]["optimizer"]["matrices"] == {"rank": 3}
    assert config.load([f"optimizer={ZOO}:RanksGiven"]).run_id != ended.run["run_id"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EightBits", {"int8": 26122, "float32": 6 * 4}),
        ("HiddenBits", {"Hidden": None}),
        ("Projects", {"float32": 400}),
    ],
)
def test_state_of_other_tensors_is_measured_or_said_to_be_unmeasurable(
    name: str, expected: dict[str, int | None], own: Run
) -> None:
    assert own(name).result["bytes"]["optimizer_state"] == expected


@pytest.mark.parametrize("name", ["Matrices", "RanksGiven", "MomentumSam", "Infinite"])
def test_an_interrupted_run_continues_bit_for_bit(name: str, twice: Callable[..., object]) -> None:
    words = [f"optimizer={ZOO}:{name}", "model=mlp", "steps=4", "tracker=none", "threads=1"]
    twice(config.load(words), 1, 3)


# -- files -------------------------------------------------------------------------------------------------------------

FILES = {
    "about: {target: torch.optim.SGD}": "",
    "lr: 0.1\nimpl: null\nabout: {target: torch.optim.SGD}": "",
    "momentum: 0.9\nabout: {target: torch.optim.SGD}": "",
    "lr: 0.1\nabout: {implementations: {a: {target: torch.optim.SGD}}}": "impl is missing",
    "lr: 0.1\nimpl: 3\nabout: {target: torch.optim.SGD}": "unknown implementation",
    "lr: 0.1\nabout: {target: torch.optim.SGD, serach: {lr: '[0, 1]'}}": "Did you mean search?",
    "lr: 0.1\nabout: {target: torch.optim.SGD, author: me}": "",
    "lr: 0.1\nwings: 3\nabout: {target: torch.optim.SGD}": "unexpected keyword argument 'wings'",
    "lr: 0.1\nabout: {target: ZOO:Sam}": "about: {classes: [base_optimizer]}",
    "base_optimizer: torch.optim.SGD\nabout: {target: ZOO:Sam, classes: [base_optimizer], needs: [closure]}": "",
    "lr: 0.1\nabout: {target: ZOO:Ranks, groups: []}": "",
    "lr: 0.1\nabout: {target: ZOO:Ranks, groups: {matrices: {rank: 2}}}": "",
    "lr: 0.1\nabout: {target: ZOO:Ranks}": "looks for 'rank'",
    "lr: 0.1\nabout: {target: ZOO:Ranks, groups: {matrixes: {rank: 2}}}": "expected the groups' settings",
    "lr: 0.1\ngrowth_rate: .inf\nabout: {target: ZOO:Infinite}": "",
}


@pytest.mark.parametrize("text", FILES)
def test_files_of_the_users_own(text: str, tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(text.replace("ZOO", str(ZOO)))
    words = ["optimizer=mine", "model=mlp", "steps=1", "tracker=none", "threads=1", "eval_train_samples=64"]
    try:
        ended = execute(config.load(words, tmp_path), tmp_path / "results")
    except OptbenchError as error:
        assert FILES[text], error
        assert FILES[text] in str(error)
    else:
        assert (ended.result["status"], FILES[text]) == ("completed", "")


# -- search boxes ------------------------------------------------------------------------------------------------------


def box_of(path: str, boxes: dict[str, dict[str, str]]) -> dict[str, str]:
    words = [f"optimizer={path}", "model=mlp", "steps=10"]
    (cell,) = expand(make_study(words, {"boxes": boxes}))
    return cell.box.as_dict()


BOX = {"lr": "log [1e-4, 1e-2]"}
SAID = {"optimizer.lr": "log [0.0001, 0.01]"}


def test_a_box_is_found_by_name_and_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ZOO.parent)
    for name in ("Base", "own_zoo.py:Base", "./own_zoo.py:Base", f"{ZOO}:Base"):
        assert box_of("./own_zoo.py:Base", {name: BOX}) == SAID
    assert box_of("timm/lion", {"timm/lion": BOX}) == SAID
    assert box_of("./own_zoo.py:Searched", {}) == {"optimizer.lr": "log [0.001, 0.1]"}
    assert box_of("./own_zoo.py:Searched", {"Searched": BOX}) == SAID


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ({"Bass": BOX}, "there is no optimizer 'Bass'\nDid you mean Base?"),
        ({"./nowhere.py:Base": BOX}, "no such file"),
        ({"Base": BOX, str(ZOO) + ":Base": BOX}, "are the same optimizer"),
    ],
)
def test_a_box_of_nothing_is_refused(boxes: dict[str, dict[str, str]], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        box_of(f"{ZOO}:Base", boxes)
    assert expected in str(caught.value)


def test_what_has_no_effect_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert box_of(f"{ZOO}:Base", {"sgd": BOX, f"{ZOO}:Named": BOX}) == {}
    assert "boxes: sgd is not compared in this study" in caplog.text
    assert "Named is not compared in this study" in caplog.text
    assert "has nothing to search" in caplog.text
    assert "optimizer.lr='tag(log,interval(1e-5,1e-2))'" in caplog.text
    assert 'boxes: {Base: {lr: "log [1e-5, 1e-2]"}}' in caplog.text


def test_the_words_of_infinity_are_no_number_elsewhere() -> None:
    from optbench.optimizers.core.build import number

    assert number("inf", "inf | (0, inf)") == math.inf
    assert number("inf", "str") == "inf"
    assert number("inf", None) == "inf"


def test_a_packed_tensor_is_loadable() -> None:
    from optbench.config import imports

    packed = imports.load(f"{ZOO}:Packed")(torch.zeros(3, dtype=torch.int8), torch.ones(()))
    buffer = io.BytesIO()
    torch.save(packed, buffer)
    buffer.seek(0)
    assert type(torch.load(buffer, weights_only=True)).__name__ == "Packed"
