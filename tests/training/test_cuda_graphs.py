"""Steps as CUDA graphs (cuda_graph=true), with a graph that a CPU can replay: the recorded operations, on the same
memory. As on CUDA, Python takes no part in a replay."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import QUICK, Twice, rows_of, same_records
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optbench import config
from optbench.checks.host_waits import waits_for_device
from optbench.clipping import NoClip
from optbench.contracts import Turn
from optbench.errors import ConfigError
from optbench.sessions import assemble
from optbench.sessions.session import execute
from optbench.training import graphed_step
from optbench.training.clock import Clock
from optbench.training.graphed_step import GraphedPlayer

GRAPH = [*QUICK, "cuda_graph=true", "steps=30", "record_every=7", "eval_every=10"]
captures: list[EmulatedGraph] = []


class EmulatedGraph(TorchDispatchMode):
    """Records operations with the tensors that they read and write, and repeats them there.

    On a CPU, recording takes the step as well; so the first replay does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, list[Any]]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        words = kwargs or {}
        if waits_for_device(func, args, words):
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        found = func(*args, **words)
        self.operations.append((func, args, words, tree_leaves(found)))
        return found

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        if self.replays == 1:
            return
        for func, args, words, found in self.operations:
            for old, new in zip(found, tree_leaves(func(*args, **words)), strict=True):
                if isinstance(old, Tensor) and old is not new and not func.is_view:
                    old.detach().copy_(new)


def emulated(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    captures.append(EmulatedGraph())
    with captures[-1]:
        work()
    return captures[-1].replay


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs on the CPU."""
    captures.clear()
    monkeypatch.setattr(graphed_step, "capture", emulated)
    monkeypatch.setattr(graphed_step, "side_stream", lambda device: nullcontext())
    refuse = graphed_step.check_capturable

    def check(*given: Any, **words: Any) -> None:
        refuse(*given[:-1], torch.device("cuda"), **words)

    monkeypatch.setattr(assemble, "check_capturable", check)


# -- the same steps ----------------------------------------------------------------------------------------------------

RUNS = {
    "mlp": (),
    "dropout and batch statistics": (
        "model=resnet",
        "model.size=20",
        "model.width=8",
        "optimizer=momentum",
        "clip=agc",
        "width_rates=4",
    ),
    "drop path, augmentation": ("model=vit", "model.drop_path=0.3", "clip=global_norm", "data.augment.mixup=0.4"),
    "bf16": ("precision=bf16", "model=vit", "clip=adaptive"),
    "micro-batches": ("micro_batch=20", "optimizer=sgd", "clip=adagc"),
    "a function": ("model=quadratic", "data=noise", "model.noise=0.1", "optimizer=nesterov"),
    "two players": ("model=dcgan", "optimizer=adam", "batch_size=16", "eval_every=30"),
    "flow matching": (
        "model=unet",
        "model.width=8",
        "optimizer=amsgrad",
        "optimizer.impl=torch",
        "optimizer.variant=torch",
        "batch_size=8",
        "eval_every=30",
    ),
    "text": ("model=bert", "data=pydocs", "batch_size=4", "steps=15", "eval_every=15"),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_replayed_run_is_the_usual_one_bit_for_bit(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = config.load([*GRAPH, "eval_train_samples=64", *RUNS[name]])
    replayed = execute(loaded, tmp_path / "replayed")
    assert len(captures) == len(loaded.model.about.get("players", {"model": ""}))
    assert all(graph.replays > loaded.steps // 2 for graph in captures)
    monkeypatch.setattr(graphed_step, "USUAL_STEPS", 1000)  # never captured; learning rates are tensors all the same
    usual = execute(loaded, tmp_path / "usual")
    assert replayed.result["status"] == "completed"
    assert same_records(rows_of(replayed)) == same_records(rows_of(usual))
    for fact in ("weights_sha256", "final", "gradient_evaluations", "bytes"):
        found = [dict(r) if isinstance(r := end.result[fact], dict) else r for end in (replayed, usual)]
        _ = [part.pop("resident", None) for part in found if isinstance(part, dict)]
        assert found[0] == found[1], fact


@pytest.mark.parametrize("overrides", [("optimizer=adamw",), ("optimizer=momentum", "clip=global_norm")], ids=str)
def test_a_replayed_run_is_a_plain_one_to_rounding(overrides: tuple[str, ...], tmp_path: Any) -> None:
    replayed = execute(config.load([*GRAPH, *overrides]), tmp_path)
    plain = execute(config.load([*GRAPH, "cuda_graph=null", *overrides]), tmp_path)
    assert replayed.folder != plain.folder
    for ours, theirs in zip(rows_of(replayed), rows_of(plain), strict=True):
        for column in ("train_loss", "val_loss", "lr", "grad_norm", "update_ratio", "clip_fraction"):
            assert ours.get(column, 0.0) == pytest.approx(theirs.get(column, 0.0), rel=1e-4), column


RESUMED = [("model=vit", "model.drop_path=0.3", "clip=adaptive"), ("model=dcgan", "optimizer=adam", "batch_size=8")]
RESUMED += [("optimizer=radam",), ("optimizer=muon", "clip=adagc")]


@pytest.mark.parametrize("overrides", RESUMED, ids=str)
def test_a_replayed_run_resumes_bit_for_bit(overrides: tuple[str, ...], twice: Twice) -> None:
    """After a resume the first steps are usual ones again; the numbers stay the same."""
    twice(config.load([*GRAPH, "steps=24", "eval_every=12", "eval_train_samples=64", *overrides]), 2, 9)


def player_of(module: torch.nn.Module, lr: float) -> GraphedPlayer:
    optimizer: Any = torch.optim.SGD(module.parameters(), lr=lr, fused=True)
    given: dict[str, Any] = {"needs": [], "precision": "fp32", "micro_batch": None, "device": torch.device("cpu")}
    return GraphedPlayer(module, optimizer, NoClip(), clock=Clock(), **given)


def test_batches_of_another_shape_are_taken_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for usual in (3, 1000):
        monkeypatch.setattr(graphed_step, "USUAL_STEPS", usual)
        torch.manual_seed(0)
        module = torch.nn.Linear(3, 1)
        player = player_of(module, 0.1)

        def loss(batch: Any, module: Any = module) -> tuple[Tensor, int]:
            return module(batch["x"]).square().sum(), len(batch["x"])

        for number in range(20):
            turn = Turn("model", {"x": torch.randn(5 if number % 4 else 2, 3)}, loss)
            player.step(turn, 1 / (1 + number), measure=number == 17)
        ends.append((module.weight.detach().clone(), player.gradient_evaluations, player.values()))
    assert len(captures) == 1
    assert captures[0].replays > 8
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1:] == ends[1][1:]


def test_the_learning_rate_of_each_step_reaches_the_graph() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    player = player_of(module, 1.0)
    turn = Turn("model", {"x": torch.ones(1, 1)}, lambda b: (module(b["x"]).sum(), 1))  # the gradient is 1
    for factor in (0.5, 0.25, 0.5, 0.125, 0.0625, 0.0, 2.0):
        before = float(module.weight.detach())
        player.step(turn, factor, measure=False)
        assert before - float(module.weight.detach()) == pytest.approx(factor, abs=1e-6)
    assert captures[0].replays == 4


def declared() -> list[tuple[str, str]]:
    """Return optimizers with their implementations that are declared capturable."""
    found = []
    for name in config.options([config.packaged_folder()], "optimizer"):
        about = config.load([f"optimizer={name}"]).optimizer.about
        kinds = about.get("implementations", {"": about})
        found += [(name, kind) for kind, facts in kinds.items() if facts.get("capturable")]
        assert not any(facts.get("capturable") and facts.get("host_waits") for facts in kinds.values()), name
    return found


@pytest.mark.parametrize(("name", "kind"), declared())
def test_every_optimizer_declared_capturable_is(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its numbers change with every step: learning rate, corrections of a bias, warm-ups of its own."""
    chosen = config.load([f"optimizer={name}"]).optimizer.about.get("implementations", {}).get(kind, {})
    required = [f"optimizer.{key}={value}" for key, value in chosen.get("requires", {}).items()]
    loaded = config.load([*GRAPH, f"optimizer={name}", *([f"optimizer.impl={kind}"] if kind else []), *required])
    ends = []
    for usual in (3, 1000):
        monkeypatch.setattr(graphed_step, "USUAL_STEPS", usual)
        trainer = assemble.assemble(loaded).trainer
        batches = trainer.data.train_batches(16)
        for step in range(12):
            trainer.take_turns(next(batches), recording=step == 8)
            trainer.progress.step += 1
        ends.append(trainer)
    assert [graph.replays for graph in captures] == [8]
    assert ends[0].weights_sha256() == ends[1].weights_sha256()
    states = [end.players["model"].state_dict()["optimizer"]["state"] for end in ends]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_a_pack_takes_the_usual_steps(caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Linear(3, 1)
    player = player_of(module, 0.1)
    player.gradients_together = player.gradients
    turn = Turn("model", {"x": torch.randn(5, 3)}, lambda b: (module(b["x"]).square().sum(), 5))
    for _ in range(6):
        player.step(turn, 1.0, measure=False)
    assert captures == []
    assert player.optimizer.param_groups[0]["lr"] == 0.1
    assert "no effect in a pack" in caplog.text


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("optimizer=sam",), "optimizer=sam .*closure"),
        (("optimizer=sophia_g",), "optimizer=sophia_g .*curvature"),
        (("optimizer=kfac",), "optimizer=kfac .*modules"),
        (
            ("optimizer=adam", "optimizer.impl=torch_foreach"),
            r"optimizer=adam .*impl=torch_foreach .*about\.capturable",
        ),
        (("precision=fp16",), "precision=fp16 .*use precision=bf16"),
        (("micro_batch=auto",), "micro_batch=auto .*give a number"),
        (("ema=true",), "ema=true .*counts"),
        (("lookahead=true",), "lookahead=true .*counts"),
        (("qk_clip=100",), "qk_clip=true .*attention"),
        (("clip={file}:halve",), r"clip=halve .*about\.capturable"),
        (("task={file}:loss",), "task=loss .*capturable = True"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_captured_is_refused(overrides: tuple[str, ...], words: str, tmp_path: Any) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    with pytest.raises(ConfigError, match=f"cuda_graph=true: {words}") as caught:
        assemble.assemble(config.load([*GRAPH, *(word.format(file=file) for word in overrides)]))
    assert "cuda_graph=false" in caught.value.hint


OWN = """
import torch

def halve(parameters):
    for parameter in parameters:
        parameter.grad *= 0.5

def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch["inputs"]), batch["labels"])

def declared(model, batch):
    return loss(model, batch)

declared.capturable = True

def reads(model, batch):
    found = loss(model, batch)
    return found * (2 if found.item() > 0 else 1)

reads.capturable = True
"""


def test_a_loss_of_ones_own_can_be_declared(tmp_path: Any) -> None:
    (tmp_path / "own.py").write_text(OWN)
    ended = execute(config.load([*GRAPH, f"task={tmp_path / 'own.py'}:declared"]), tmp_path)
    assert ended.result["status"] == "completed"
    assert captures[0].replays > 20


def test_a_step_that_waits_cannot_be_captured(tmp_path: Any) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(ConfigError, match=r"the step cannot be captured: .*not permitted when stream is capturing"):
        execute(config.load([*GRAPH, f"task={tmp_path / 'own.py'}:reads"]), tmp_path)


def test_a_cpu_has_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="cuda_graph=true needs device=cuda"):
        assemble.assemble(replace(config.load(GRAPH), device="cpu"))


@pytest.mark.parametrize("value", ["null", "false"])
def test_without_it_players_are_the_usual_ones(value: str) -> None:
    trainer = assemble.assemble(config.load([*QUICK, f"cuda_graph={value}"])).trainer
    assert not any(isinstance(player, GraphedPlayer) for player in trainer.players.values())
