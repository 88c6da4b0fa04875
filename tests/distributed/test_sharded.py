"""Sharded runs on two ranks (strategy=fsdp): same numbers as on one, checkpoints for any number of ranks, refusals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK, rows_of

from optbench import config
from optbench.distributed.layouts import ELEMENTS, TENSORS, check_shardable, layout_of
from optbench.distributed.partition import assign_owners, blocks, rows_by_rank
from optbench.distributed.state import ABSENT, map_branches
from optbench.errors import ConfigError, Interrupted
from optbench.sessions.execute import FinishedRun
from optbench.sessions.session import Session, execute

CONF = config.packaged_folder()
SHORT = ("steps=8", "eval_every=4", "record_every=2", "tracker=none", "threads=1")
FSDP = ("devices=2", "strategy=fsdp")
WAYS = {"whole": ("devices=1",), "ddp": ("devices=2",), "parts": FSDP}
SMALL = {  # what makes a comparison of every model short, and exact
    "vit": ("batch_size=30", "model.drop_path=0"),
    "bert": ("batch_size=5", "model.task.masking=bernoulli", "eval_train_samples=50"),
    "gpt": ("batch_size=4", "eval_train_samples=50"),
    "t5": ("batch_size=3", "eval_train_samples=50"),
    "resnet": ("batch_size=33", "model.size=20", "model.width=8", "batch_statistics=synchronised"),
}


def shardable(group: str) -> list[str]:
    """Return the names in a group whose files declare them shardable."""
    about = {name: config.load([f"{group}={name}"]).choices[group].about for name in config.options([CONF], group)}
    return [name for name, facts in about.items() if facts["shardable"] in (True, ELEMENTS, TENSORS)]


LOSSES, NORMS = {"train_loss", "val_loss", "test_loss"}, {"grad_norm", "update_ratio", "clip_scale"}


def assert_alike(one: FinishedRun, two: FinishedRun, tolerance: float = 1e-3) -> None:
    """Assert that losses and counts agree, and norms to ten times the tolerance.

    An eigenbasis or an iteration in bfloat16 amplifies rounding."""
    first, second = rows_of(one), rows_of(two)
    assert [row["step"] for row in first] == [row["step"] for row in second] == [2, 4, 4, 6, 8, 8, 8, 8]
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() & (LOSSES | NORMS):
            assert b[key] == pytest.approx(a[key], rel=tolerance * (10 if key in NORMS else 1)), (key, a["step"])
        assert b["gradient_evaluations"] == a["gradient_evaluations"]
    assert (two.run["strategy"], two.run["ranks"]) == ("fsdp", 2)


@pytest.fixture
def ran(tmp_path: Path) -> Callable[..., FinishedRun]:
    """Run a configuration in one of the WAYS."""
    return lambda way, *words: execute(config.load([*words, *SHORT, *WAYS[way]]), tmp_path / way)


@pytest.fixture
def both(ran: Callable[..., FinishedRun]) -> Callable[..., tuple[FinishedRun, FinishedRun]]:
    """Run a configuration on one rank, and sharded on two."""
    return lambda *words: (ran("whole", *words), ran("parts", *words))


def held(ended: FinishedRun) -> int:
    """Return the bytes of optimizer state on rank 0."""
    return sum(ended.result["bytes"]["optimizer_state"].values())


def test_sharded_rows_equal_one_rank_with_half_the_state(both: Callable[..., Any]) -> None:
    one, two = both("model=mlp", "batch_size=63", "micro_batch=10", "clip=global_norm", "optimizer=lion", "ema=true")
    assert_alike(one, two)
    assert held(two) == pytest.approx(held(one) / 2, rel=0.01)
    assert two.result["bytes"]["parameters"] == pytest.approx(one.result["bytes"]["parameters"] / 2, rel=0.01)


def test_owned_tensors_equal_one_rank_and_are_stored_once(both: Callable[..., Any]) -> None:
    one, two = both("model=mlp", "batch_size=63", "optimizer=soap", "lookahead=true")
    assert_alike(one, two)
    assert held(two) < 0.7 * held(one)


@pytest.mark.parametrize("word", ["int8", pytest.param("bf16", marks=pytest.mark.slow)])
def test_low_precision_state_is_that_of_one_rank(both: Callable[..., Any], word: str) -> None:
    words = ("optimizer=adamw", "optimizer.impl=optbench", f"state={word}", "state.smallest=64")
    one, two = both("model=mlp", "batch_size=63", *words)
    assert_alike(one, two)
    kind = {"int8": "uint8", "bf16": "bfloat16"}[word]
    assert all(ended.result["bytes"]["optimizer_state"][kind] > 0 for ended in (one, two))
    assert held(two) < 0.7 * held(one)


@pytest.mark.slow
@pytest.mark.parametrize("name", shardable("optimizer"))
def test_every_optimizer_declared_shardable_is(ran: Callable[..., FinishedRun], name: str) -> None:
    flat = ["schedule=constant"] if name == "schedulefree" else []
    whole, ddp, parts = (ran(way, "model=mlp", "batch_size=63", f"optimizer={name}", *flat) for way in WAYS)
    assert_alike(whole, parts)
    assert_alike(ddp, parts, 1e-6)  # the same sums in the same order


@pytest.mark.slow
@pytest.mark.parametrize("name", shardable("model"))
def test_every_model_declared_shardable_is(both: Callable[..., Any], name: str) -> None:
    assert_alike(*both(f"model={name}", *SMALL.get(name, ())))


@pytest.mark.slow
@pytest.mark.parametrize("clip", [name for name in shardable("clip") if name != "none"])
def test_every_clip_declared_shardable_is(both: Callable[..., Any], clip: str) -> None:
    one, two = both("model=mlp", "batch_size=63", f"clip={clip}", *(["clip.max_value=1e-3"] if clip == "value" else []))
    assert_alike(one, two)
    assert [row.get("clip_fraction") for row in rows_of(one)] == [row.get("clip_fraction") for row in rows_of(two)]


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Signal rank 0 to stop after a step."""
    on_step = Session._on_step

    def at(step: int | None) -> None:
        def interrupted(session: Session, trainer: Any) -> None:
            if trainer.progress.step == step:
                session.signals.heard = [signal.SIGTERM]
            on_step(session, trainer)

        monkeypatch.setattr(Session, "_on_step", interrupted)

    return at


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ("parts", "whole", ("optimizer=muon", "ema=true")),
        *(
            pytest.param(first, then, words, marks=pytest.mark.slow)
            for words in (
                ("optimizer=adamw", "ema=true", "clip=adagc"),
                ("optimizer=soap", "lookahead=true"),
                ("optimizer=lion", "state=int8", "state.smallest=64", "ema=true"),
                ("optimizer=adamw", "optimizer.impl=optbench", "state=bf16", "state.smallest=64"),
            )
            for first, then in (("parts", "whole"), ("whole", "parts"), ("parts", "parts"), ("parts", "ddp"))
        ),
    ],
)
def test_a_checkpoint_serves_any_number_of_ranks(
    tmp_path: Path, stopped: Callable[[int | None], None], first: str, then: str, words: tuple[str, ...]
) -> None:
    asked = {way: config.load([*QUICK, "batch_size=33", *words, *SHORT, *how]) for way, how in WAYS.items()}
    calm = execute(asked[then], tmp_path / "calm")
    stopped(5)
    with pytest.raises(Interrupted, match="SIGTERM at step 5 of 8"):
        execute(asked[first], tmp_path / "wild")
    (kept,) = (tmp_path / "wild" / "runs" / asked[first].run_id / "checkpoints").iterdir()
    assert kept.name.startswith("step-000000005-") and kept.suffix == (".parts" if first == "parts" else ".pt")
    stopped(None)
    ended = execute(asked[then], tmp_path / "wild")
    assert ended.result["resumed_from_steps"] == [5]
    # SOAP's first factors have low rank, and their eigenvectors follow rounding: without a stop, norms differ by 1.1 %
    of_norms = 2e-2 if "optimizer=soap" in words else 1e-2
    for a, b in zip(rows_of(calm), rows_of(ended), strict=True):
        for key in {"step", "train_loss", "val_loss", "grad_norm"} & a.keys():
            assert b[key] == pytest.approx(a[key], rel=of_norms if key in NORMS else 1e-3), key
    if first == then:
        assert ended.result["weights_sha256"] == calm.result["weights_sha256"]


@pytest.mark.slow
def test_a_sharded_checkpoint_equals_a_whole_one(tmp_path: Path) -> None:
    from optbench.sessions.checkpoints import read_checkpoint

    words = [*QUICK, "batch_size=33", "optimizer=muon", "ema=true", *SHORT]
    trees = []
    for name, how in (("parts", FSDP), ("ddp", ("devices=2",))):
        ended = execute(config.load([*words, *how]), tmp_path / name)
        (file,) = (ended.folder / "checkpoints").iterdir()
        trees.append(read_checkpoint(file)["trainer"]["players"]["model"])
    assert_same_shape(*trees)


def assert_same_shape(a: Any, b: Any) -> None:
    """Assert that two trees have the same keys and shapes, and nearly the same numbers."""
    if isinstance(a, torch.Tensor):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        torch.testing.assert_close(a.double(), b.double(), rtol=1e-2, atol=1e-3)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_shape(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same_shape(one, other)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-3)
    else:
        assert a == b


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("optimizer=sam",),
            "optimizer=sam cannot be sharded: its perturbation is scaled by the norm of all gradients",
        ),
        (("optimizer=kfac",), "optimizer=kfac cannot be sharded: it reads what its layers see"),
        (("model=gan",), "model=gan cannot be sharded: its losses pass through two networks"),
        (("model=quadratic", "data=noise"), "model=quadratic cannot be sharded"),
        (("clip=agc",), "clip=agc cannot be sharded: a vector is one unit"),
        (("precision=fp16",), "precision=fp16 cannot be sharded"),
        (("compile=true",), "compile=true cannot be sharded"),
        (("channels_last=true",), "channels_last=true cannot be sharded"),
        (("micro_batch=auto",), "micro_batch=auto cannot be sharded: it is measured on one device"),
    ],
    ids=lambda words: "-".join(words) if isinstance(words, tuple) else "",
)
def test_runs_that_cannot_be_sharded_are_refused_with_a_reason(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        execute(config.load([*QUICK, *words, *FSDP]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_optimizer_without_a_declaration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import torch\nclass Own(torch.optim.SGD):\n    pass\n")
    asked = config.load([*QUICK, f"optimizer={tmp_path}/own.py:Own", "optimizer.lr=0.1", *FSDP])
    with pytest.raises(ConfigError, match="its file does not declare it shardable"):
        check_shardable(asked)


@pytest.mark.parametrize("group", ["optimizer", "clip", "model"])
def test_every_file_declares_whether_it_is_shardable(group: str) -> None:
    for name in config.options([CONF], group):
        said = config.load([f"{group}={name}"]).choices[group].about["shardable"]
        assert said is True if group == "model" and not isinstance(said, str) else len(said) > 5
    assert len(shardable(group)) > 5


def test_one_rule_for_whole_tensors_decides_the_layout() -> None:
    for words, layout in ((("optimizer=lion",), ELEMENTS), (("optimizer=lion", "cautious=true"), TENSORS)):
        asked = config.load(words)
        assert layout_of(asked, asked.optimizer) == layout
    asked = config.load(["optimizer=muon"])
    assert layout_of(asked, asked.optimizer) == TENSORS


@pytest.mark.parametrize("rows", range(9))
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_rows_are_split_as_by_torch(rows: int, count: int) -> None:
    dealt = [len(part) for part in torch.zeros(rows, 2).chunk(count)] if rows else []
    assert rows_by_rank(rows, count) == dealt + [0] * (count - len(dealt))


def test_owners_have_similar_work() -> None:
    sizes = [100, 1, 60, 50, 30, 10]
    owners = assign_owners(sizes, 2)
    held = [sum(size for size, owner in zip(sizes, owners, strict=True) if owner == rank) for rank in range(2)]
    assert abs(held[0] - held[1]) <= 10
    assert assign_owners([1, 1, 1], 5) == [0, 1, 2]


def test_blocks_are_the_members_of_the_outermost_lists() -> None:
    inner = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.ReLU(), inner])
    model = torch.nn.Module()
    model.body = torch.nn.Module()
    model.body.layers, model.head = layers, torch.nn.Linear(2, 1)
    assert list(blocks(model)) == [layers[0], inner[0]]


def test_map_branches_finds_mappings_and_lists() -> None:
    tree = {"inner": {"state": {0: "a", 2: "c"}, "groups": [{"params": [0, 1, 2]}]}, "slow": list(torch.zeros(3))}
    found = map_branches(tree, [5, 6, 7], lambda branch, i: ABSENT if branch == "a" else i)
    assert found == {"inner": {"state": {2: 7}, "groups": [{"params": [0, 1, 2]}]}, "slow": [5, 6, 7]}
