"""Runs that start from given weights, and runs with frozen parameters."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from optbench import config
from optbench.config import RunConfig
from optbench.errors import ConfigError, Interrupted
from optbench.sessions.assemble import assemble
from optbench.sessions.execute import FinishedRun
from optbench.sessions.initial_weights import initial_weights
from optbench.sessions.session import Session, execute
from tests.conftest import QUICK, Call, Twice

Run = Callable[..., FinishedRun]


def loaded(*overrides: str) -> RunConfig:
    return config.load([*QUICK, *overrides])


def state_of(ended: FinishedRun, kind: str = "module", player: str = "model") -> dict[str, torch.Tensor]:
    """The weights in the last checkpoint of a run."""
    (file,) = (ended.folder / "checkpoints").iterdir()
    return torch.load(file, weights_only=True)["trainer"]["players"][player][kind]


def begun_with(wanted: RunConfig, root: Path) -> Any:
    """The objects of a run before its first step."""
    return assemble(wanted, weights=initial_weights(wanted, root))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# -- sources -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["run", "checkpoint", "state dict", "safetensors", "wrapped"])
def test_a_run_begins_with_the_weights_of_another_bit_for_bit(quick_run: Run, tmp_path: Path, source: str) -> None:
    before = quick_run("steps=3")
    state = state_of(before)
    (checkpoint,) = (before.folder / "checkpoints").iterdir()
    places: dict[str, Path] = {
        "checkpoint": checkpoint,
        "state dict": tmp_path / "w.pt",
        "wrapped": tmp_path / "w.ckpt",
    }
    places["safetensors"] = tmp_path / "w.safetensors"
    torch.save(state, tmp_path / "w.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}, tmp_path / "w.ckpt")
    from safetensors.torch import save_file

    save_file(state, tmp_path / "w.safetensors")
    init = str(places.get(source, before.run["run_id"]))
    objects = begun_with(loaded("steps=3", f"init='{init}'", "seed=1"), tmp_path / "results")
    assert same(objects.task.players["model"].state_dict(), state)
    assert objects.trainer.weights_sha256() == before.result["weights_sha256"]
    if source in ("run", "checkpoint"):
        assert objects.weights.sha256 == before.result["weights_sha256"]


def test_run_json_says_what_was_loaded(quick_run: Run, caplog: pytest.LogCaptureFixture) -> None:
    before = quick_run("steps=3")
    with caplog.at_level(logging.INFO, "optbench"):
        after = quick_run("steps=3", f"init={before.run['run_id']}", "model.hidden=[128,32]", "freeze=['1']")
    said = after.run["init"]
    assert (said["source"], said["weights"]) == (before.run["run_id"], "training")
    assert said["sha256"] == said["run_sha256"] == before.result["weights_sha256"]
    assert said["players"]["model"]["tensors"] == 6
    assert said["players"]["model"]["random"][0].startswith("3.weight ")
    assert f"tensors from {before.run['run_id']} (training weights); at random: 3.weight" in caplog.text


@pytest.mark.parametrize("words", [("optimizer=schedulefree", "schedule=constant"), ("ema=true",)])
def test_the_weights_that_were_evaluated_are_those_to_start_from(
    quick_run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = quick_run("steps=20", "optimizer.lr=0.01", *words)
    evaluated, trained = state_of(before, "evaluation"), state_of(before)
    assert not same(evaluated, trained)
    wanted = loaded("steps=1", f"init={before.run['run_id']}")
    objects = begun_with(wanted, tmp_path / "results")
    assert objects.weights.facts["weights"] == "evaluation"
    assert same(objects.task.players["model"].state_dict(), evaluated)
    scores = objects.trainer.evaluator.scores("validation")
    assert scores["metric"] == before.result["final"]["val_metric"]
    assert scores["loss"] == pytest.approx(before.result["final"]["val_loss"])


def test_batch_statistics_are_loaded(tmp_path: Path) -> None:
    words = ("model=resnet", "model.width=4", "model.size=20", "steps=2", "batch_size=8", "eval_train_samples=8")
    before = execute(loaded(*words), tmp_path)
    objects = begun_with(loaded(*words, f"init={before.run['run_id']}"), tmp_path)
    own = objects.task.players["model"].state_dict()
    assert same(own, state_of(before))
    assert any(name.endswith("running_mean") and bool(tensor.any()) for name, tensor in own.items())


def test_players_are_loaded_by_their_names(tmp_path: Path) -> None:
    words = ("model=gan", "steps=1", "batch_size=4", "eval_train_samples=8", "seed=3")
    before = execute(config.load([*QUICK[1:], *words]), tmp_path)
    states = {name: state_of(before, player=name) for name in ("generator", "discriminator")}
    flat = {f"{player}.{name}": t for player, state in states.items() for name, t in state.items()}
    torch.save(flat, tmp_path / "flat.pt")
    torch.save(states, tmp_path / "nested.pt")
    torch.save(states["generator"], tmp_path / "one.pt")
    for init in (before.run["run_id"], f"'{tmp_path / 'flat.pt'}'", f"'{tmp_path / 'nested.pt'}'"):
        objects = begun_with(config.load([*QUICK[1:], *words, "seed=4", f"init={init}"]), tmp_path)
        assert all(same(objects.task.players[name].state_dict(), states[name]) for name in states)
    with pytest.raises(ConfigError, match="holds the weights of one network, but the model is the players generator"):
        begun_with(config.load([*QUICK[1:], *words, f"init='{tmp_path / 'one.pt'}'"]), tmp_path)
    with pytest.raises(ConfigError, match="holds the weights of the players generator, discriminator"):
        begun_with(loaded(f"init={before.run['run_id']}"), tmp_path)


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage": (lambda file: file.write_bytes(b"garbage" * 99), "no file of weights, or is damaged"),
    "empty": (lambda file: file.touch(), "it is empty"),
    "module": (lambda file: torch.save(torch.nn.Linear(1, 1), file), "holds Python objects"),
    "no tensors": (lambda file: torch.save({"lr": 1.0}, file), "holds no tensors by name"),
    "a list": (lambda file: torch.save([torch.ones(1)], file), "holds no tensors by name"),
    "old checkpoint": (lambda file: torch.save({"schema": 0, "trainer": {}}, file), "no checkpoint that can be used"),
    "others": (lambda file: torch.save({"x": torch.ones(1)}, file), "no parameter there has the name"),
    "nan": (lambda file: torch.save({"1.bias": torch.full((128,), torch.nan)}, file), "1.bias holds values that"),
    "folder": (lambda file: file.mkdir(), "is a folder"),
    "nothing": (lambda file: None, "no such file"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_files_that_hold_no_weights_are_one_error(tmp_path: Path, call: Call, kind: str) -> None:
    make, message = DAMAGED[kind]
    make(tmp_path / "w.pt")
    code, _, err = call("run", *QUICK, "steps=1", f"init={tmp_path / 'w.pt'}", "--results-dir", tmp_path / "results")
    assert code == 2
    assert message in err
    assert len(err.splitlines()) <= 2
    assert not list((tmp_path / "results").glob("runs/*/*"))


def test_a_run_that_cannot_be_used_is_one_error(quick_run: Run, tmp_path: Path, call: Call) -> None:
    before = quick_run("steps=1")
    name = before.run["run_id"]
    dropped = quick_run("steps=2", "keep_checkpoint=false").run["run_id"]
    failed = quick_run("steps=20", "optimizer=sgd", "optimizer.lr=1e6").run["run_id"]
    for init, message in (
        (name[:-1], f"Did you mean init={name}?"),
        (dropped, "its checkpoint was not kept"),
        (failed, "the run did not succeed: it ended as diverged"),
        (before.folder, f"Name the run, init={name}"),
    ):
        for words in (("run",), ("run", "--dry-run"), ("sweep", "--seeds", "1", "--trials", "1", "--study", "s")):
            code, _, err = call(*words, *QUICK, "steps=1", f"init={init}", "--results-dir", tmp_path / "results")
            assert (code, message in err) == (2, True), err
            assert len(err.splitlines()) <= 2
    assert not (tmp_path / "results" / "s").exists()


# -- identity ----------------------------------------------------------------------------------------------------------


def test_the_content_of_a_file_is_its_identity_and_a_run_its_own(tmp_path: Path) -> None:
    for name, value in (("a.pt", 1.0), ("b.pt", 1.0), ("c.pt", 2.0)):
        torch.save({"x": torch.full((4,), value)}, tmp_path / name)
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())  # torch writes a file's name into it
    a, b, c = (loaded(f"init='{tmp_path / name}'").run_id for name in ("a.pt", "b.pt", "c.pt"))
    runs = [loaded(f"init=mlp-digits-adamw-s0-000000000{digit}").run_id for digit in "12"]
    assert a == b
    assert len({a, c, *runs, loaded().run_id, loaded("freeze=[bias]").run_id}) == 6
    assert loaded("init=null", "freeze=null").run_id == loaded("freeze=[]").run_id == loaded().run_id
    assert loaded("freeze=[bias,'1.*']").run_id == loaded("freeze=['1.*',bias,bias]").run_id


def test_a_target_for_training_from_scratch_is_not_that_of_a_fine_tuning() -> None:
    words = ("model=vit", "data=digits")
    assert config.load(words).target is not None
    assert config.load([*words, "freeze=[bias]"]).target is None
    assert config.load([*words, "init=vit-digits-adamw-s0-0000000000"]).target is None
    assert config.load([*words, "freeze=[bias]", "target=0.5"]).target == 0.5


# -- resuming ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_resumes_bit_for_bit(quick_run: Run, tmp_path: Path, twice: Twice, optimizer: str) -> None:
    torch.save(state_of(quick_run("steps=3")), tmp_path / "w.pt")
    words = ("steps=12", "record_every=3", "eval_every=6", f"optimizer={optimizer}", "freeze=[bias]")
    calm, resumed = twice(loaded(*words, f"init='{tmp_path / 'w.pt'}'"), 4, 8)
    assert calm.run["init"] == resumed.run["init"]


def test_a_run_that_began_with_other_weights_is_not_resumed(quick_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = quick_run("steps=3")
    words = ("steps=6", f"init={before.run['run_id']}")
    on_step = Session._on_step

    def interrupted(session: Session, trainer: Any) -> None:
        session.signals.heard = [15]
        on_step(session, trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_on_step", interrupted)
        with pytest.raises(Interrupted):
            quick_run(*words)
    (file,) = (before.folder / "checkpoints").iterdir()
    checkpoint, original = torch.load(file, weights_only=True), file.read_bytes()
    checkpoint["trainer"]["players"]["model"]["module"]["1.bias"] += 1
    file.unlink()
    torch.save(checkpoint, file.with_name("step-000000003.pt"))
    result = before.folder / "result.json"
    stored = result.read_text()
    result.write_text(json.dumps({**json.loads(stored), "weights_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="began with other weights"):
        quick_run(*words)
    file.with_name("step-000000003.pt").unlink()
    file.write_bytes(original)
    result.write_text(stored)
    assert quick_run(*words).result["resumed_from_steps"] == [1]
    result.write_text(json.dumps({**json.loads(stored), "weights_sha256": "0" * 64}))
    with pytest.raises(ConfigError, match="began with other weights"):  # a finished one is not shown for another
        quick_run(*words)
    for path in sorted(before.folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert quick_run(*words).was_there  # the weights are not needed any more


# -- frozen parameters -------------------------------------------------------------------------------------------------

FROZEN = {
    "adamw": ("optimizer=adamw",),
    "muon": ("optimizer=muon",),
    "kfac": ("optimizer=kfac",),
    "sophia_h": ("optimizer=sophia_h",),
    "sophia_g": ("optimizer=sophia_g",),
    "sam": ("optimizer=sam",),
    "soap": ("optimizer=soap",),
    "schedulefree": ("optimizer=schedulefree", "schedule=constant"),
    "ema": ("ema=true",),
    "lookahead": ("lookahead=true",),
    "micro": ("micro_batch=16", "clip=agc"),
    "auto": ("micro_batch=auto", "memory_limit=1e12"),
}


@pytest.mark.parametrize("kind", FROZEN)
def test_frozen_parameters_stay_and_the_others_are_trained(tmp_path: Path, kind: str) -> None:
    words = ("steps=4", "batch_size=32", "freeze=[bias,'3.*']", "eval_train_samples=32", *FROZEN[kind])
    wanted = loaded(*words)
    before = {name: t.clone() for name, t in assemble(wanted).task.players["model"].state_dict().items()}
    ended = execute(wanted, tmp_path)
    after = state_of(ended)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"1.weight", "5.weight"}
    held, size = ended.result["bytes"], {name: 4 * tensor.numel() for name, tensor in before.items()}
    assert held["parameters"] == sum(size.values())
    assert held["frozen_parameters"] == sum(size[name] for name in before.keys() - changed)
    assert held["gradients"] == sum(size[name] for name in changed)


def test_what_a_run_freezes_stays_so_after_the_turn_of_another_player() -> None:
    task = assemble(config.load([*QUICK[1:], "model=gan", "batch_size=4", "freeze=[generator.*.bias,norm]"])).task
    generator = task.players["generator"]
    frozen = [p for p in generator.parameters() if not p.requires_grad]
    with task._freezable["generator"].frozen():
        assert not any(p.requires_grad for p in generator.parameters())
    assert 0 < len(frozen) < len(list(generator.parameters()))
    assert [id(p) for p in generator.parameters() if not p.requires_grad] == [id(p) for p in frozen]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_weights_are_loaded_before_ranks_share_them(tmp_path: Path, strategy: str) -> None:
    before = execute(loaded("steps=3"), tmp_path)
    words = ("steps=6", "freeze=[bias,'3.*']", f"init={before.run['run_id']}")
    alone = execute(loaded(*words), tmp_path, study="alone")
    shared = execute(loaded(*words, "devices=2", f"strategy={strategy}"), tmp_path, study="shared")
    assert shared.run["init"]["sha256"] == before.result["weights_sha256"]
    assert shared.run["run_id"] == alone.run["run_id"]
    assert shared.result["final"]["val_loss"] == pytest.approx(alone.result["final"]["val_loss"], rel=1e-4)
    with pytest.raises(ConfigError, match="no such run"):
        execute(loaded("steps=1", f"init={before.run['run_id']}x", "devices=2"), tmp_path)


@pytest.mark.slow
def test_compiled_models_take_init_and_freeze(tmp_path: Path) -> None:
    before = execute(loaded("steps=2"), tmp_path)
    ended = execute(loaded("steps=3", "compile=true", "freeze=[bias]", f"init={before.run['run_id']}"), tmp_path)
    assert torch.equal(state_of(ended)["1.bias"], state_of(before)["1.bias"])


def test_show_and_dry_run_say_what_is_frozen(call: Call) -> None:
    words = (*QUICK, "model.hidden=[4]", "freeze=[bias]")
    code, out, _ = call("show", *words, "--parameters")
    rows = {row[0]: row[-2:] for line in out.splitlines() if (row := line.split()) and row[0][:2] in ("1.", "3.")}
    assert code == 0
    assert rows["1.weight"] == ["yes", "0.01"]
    assert rows["1.bias"] == rows["3.bias"] == ["frozen", "-"]
    counts = "parameters: 310, 296 trainable (40 head, 256 matrix), 14 frozen (14 bias)"
    assert counts in out
    assert f"  {counts}\n" in call("run", *words, "--dry-run")[1]
    tree = json.loads(call("show", *words, "--parameters", "--json")[1])
    assert {row["parameter"]: (row["trained"], row["weight_decay"]) for row in tree["parameters"]} == {
        "1.weight": (True, 0.01),
        "3.weight": (True, 0.01),
        "1.bias": (False, None),
        "3.bias": (False, None),
    }
    expected = {"all": 310, "trainable": 296, "head": 40, "matrix": 256, "frozen": {"bias": 14}}
    assert tree["counts"] == {"model": expected}
    assert json.loads(call("run", *words, "--dry-run", "--json")[1])["sizes"]["parameters"] == {"model": expected}


def test_show_names_the_player_of_a_parameter(call: Call) -> None:
    words = (*QUICK[1:], "model=gan", "batch_size=4", "freeze=[generator.*.bias]")
    tree = json.loads(call("show", *words, "--parameters", "--json")[1])
    frozen = [row["parameter"] for row in tree["parameters"] if not row["trained"]]
    assert frozen
    assert all(name.startswith("generator.") and name.endswith(".bias") for name in frozen)
    assert tree["counts"]["discriminator"]["frozen"] == {}
    assert len({row["parameter"] for row in tree["parameters"]}) == len(tree["parameters"])


def test_a_script_has_no_parameters_to_show(call: Call, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys\nprint(sys.argv)\n")
    words = (f"script={tmp_path}/train.py", "script.direction=max", "script.args=--lr {optimizer.lr}")
    code, _, err = call("show", *words, "--parameters")
    assert code == 2
    assert "builds its model itself" in err
