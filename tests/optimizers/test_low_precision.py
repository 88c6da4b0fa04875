"""Moments in 8 and 16 bits: the map, rounding, bytes, checkpoints, both engines, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.checks.faithful import modifiers
from optbench.checks.result import DIFFERS, PASS
from optbench.checks.subject import make_subject
from optbench.errors import ConfigError
from optbench.optimizers.core.choose_engine import has_compiler
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.optimizers.low_precision import Bf16, Int8, dynamic_map
from optbench.sessions.session import execute

ADAMW = ["optimizer=adamw", "optimizer.impl=optbench"]
CPU = torch.device("cpu")
SIZE = 8192


def make(overrides: list[str], *thetas: torch.Tensor) -> Any:
    """Return the configured optimizer of these tensors."""
    return make_subject(config.load([*ADAMW, *overrides])).build(thetas)


def train(optimizer: Any, theta: torch.Tensor, steps: int, seed: int = 0, scale: float = 1.0) -> None:
    """Take steps with random gradients."""
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        theta.grad = (torch.randn(theta.shape, generator=random) * scale).to(theta.dtype)
        optimizer.step()


def round_trip(codec: Int8 | Bf16, moment: torch.Tensor) -> torch.Tensor:
    """Return a moment as the codec keeps it."""
    values, beside = codec.new(moment)
    return codec.decode(values, beside)


class TestInt8:
    @pytest.mark.parametrize("sign", ["signed", "unsigned"])
    def test_the_map_is_the_papers_dynamic_tree(self, sign: str) -> None:
        entries = dynamic_map(sign)
        assert len(entries) == 256 and entries == sorted(set(entries))
        assert 0.0 in entries and entries[-1] == 1.0
        smallest = {"signed": 0.55e-6, "unsigned": 0.325e-6}[sign]  # the middle of [0.1, 1], or of its lower half
        assert min(e for e in entries if e > 0) == pytest.approx(smallest, rel=1e-6)
        assert (min(entries) < 0) == (sign == "signed")

    @pytest.mark.parametrize("sign", ["signed", "unsigned"])
    def test_every_entry_of_the_map_survives(self, sign: str) -> None:
        entries = torch.tensor(dynamic_map(sign))
        assert torch.equal(round_trip(Int8(sign, 256, torch.float32, CPU), entries), entries)

    def test_values_go_to_the_nearest_entry(self) -> None:
        entries = torch.tensor(dynamic_map("signed"), dtype=torch.float64)
        values = torch.rand(255, dtype=torch.float64) * 2 - 1
        values = torch.cat([torch.ones(1, dtype=torch.float64), values])
        kept = round_trip(Int8("signed", 256, torch.float64, CPU), values)
        nearest = entries[(values[:, None] - entries).abs().argmin(1)]
        assert torch.equal(kept, nearest)

    def test_a_block_has_a_scale_of_its_own_and_the_last_may_be_short(self) -> None:
        moment = torch.cat([torch.full((4,), 1e-8), torch.full((4,), 1e3), torch.full((1,), -5.0)])
        codes, scale = Int8("signed", 4, torch.float32, CPU).new(moment)
        assert codes.shape == (9,) and scale.tolist() == pytest.approx([1e-8, 1e3, 5.0])
        assert round_trip(Int8("signed", 4, torch.float32, CPU), moment).tolist()[:8] == pytest.approx(
            [1e-8] * 4 + [1e3] * 4
        )

    def test_nan_stays_visible(self) -> None:
        moment = torch.zeros(8)
        moment[1] = torch.nan
        kept = round_trip(Int8("signed", 4, torch.float32, CPU), moment)
        assert kept[:4].isnan().all() and (kept[4:] == 0).all()


class TestBf16:
    def test_the_mean_is_kept(self) -> None:
        moment = torch.full((1 << 16,), 1 + 0.3 / 128)  # between 1 and 1 + 1/128
        codec, counter, values = Bf16(0), torch.zeros(1, dtype=torch.int64), torch.empty(1 << 16, dtype=torch.bfloat16)
        codec.encode(moment, values, counter)
        assert sorted(set(values.tolist())) == [1.0, 1.0078125]
        share = (values > 1).double().mean().item()
        assert share == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / 2**16) ** 0.5)

    def test_steps_and_moments_draw_other_bits(self) -> None:
        moment, drawn = torch.full((4096,), 1 + 0.5 / 128), []
        for place in (0, 1):
            counter = torch.zeros(1, dtype=torch.int64)
            for _ in range(2):
                values = torch.empty(4096, dtype=torch.bfloat16)
                Bf16(place).encode(moment, values, counter)
                drawn.append((values > 1).double().numpy())
        correlations = np.corrcoef(drawn) - np.eye(4)
        assert np.abs(correlations).max() < 5 / 4096**0.5

    def test_a_slow_average_does_not_stand_still(self) -> None:
        """To the nearest, v keeps its value for ever where beta2 = 0.999 and the gradients have become zero."""
        theta = torch.zeros(SIZE, requires_grad=True)
        optimizer = make(["state=bf16"], theta)
        train(optimizer, theta, 1)
        before = optimizer.state[theta]["v"].double().mean()
        train(optimizer, theta, 500, scale=0.0)
        assert (optimizer.state[theta]["v"].double().mean() / before).item() == pytest.approx(0.999**500, rel=0.02)

    def test_infinities_and_nan_stay(self) -> None:
        moment = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -1.0])
        kept = round_trip(Bf16(0), moment)
        codec, counter, values = Bf16(0), torch.zeros(1, dtype=torch.int64), torch.empty(5, dtype=torch.bfloat16)
        codec.encode(moment, values, counter)
        assert torch.equal(values.float().nan_to_num(7), kept.nan_to_num(7))


BYTES = {"fp32": {"float32": 8 * SIZE}, "bf16": {"bfloat16": 4 * SIZE, "int64": 16}}
BYTES["int8"] = {"uint8": 2 * SIZE, "float32": 2 * 4 * SIZE // 256}


@pytest.mark.parametrize("word", BYTES)
def test_bytes_of_adamw(word: str) -> None:
    theta = torch.zeros(SIZE, requires_grad=True)
    optimizer = make([f"state={word}"], theta)
    train(optimizer, theta, 1)
    assert state_bytes(optimizer) == BYTES[word]


def test_small_tensors_keep_their_state() -> None:
    small, large = torch.zeros(4095, requires_grad=True), torch.zeros(4096, requires_grad=True)
    optimizer = make(["state=int8"], small, large)
    train(optimizer, small, 1)
    train(optimizer, large, 1)
    assert {t.dtype for t in optimizer.state[small].values() if isinstance(t, torch.Tensor)} == {torch.float32}
    assert optimizer.state[large]["m"].dtype == torch.uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("word", ["bf16", "int8"])
def test_a_resumed_optimizer_takes_the_same_steps(word: str, dtype: torch.dtype, tmp_path: Path) -> None:
    first = torch.zeros(64, 100, dtype=dtype, requires_grad=True)
    optimizer = make([f"state={word}"], first)
    train(optimizer, first, 3, seed=1)
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    second = first.detach().clone().requires_grad_()
    resumed = make([f"state={word}"], second)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    kinds = {name: value.dtype for name, value in optimizer.state[first].items() if name != "step"}
    assert {name: value.dtype for name, value in resumed.state[second].items() if name != "step"} == kinds
    train(optimizer, first, 3, seed=2)
    train(resumed, second, 3, seed=2)
    assert torch.equal(first, second) and not torch.equal(first, torch.zeros_like(first))


def test_a_copy_shares_nothing() -> None:
    theta = torch.zeros(SIZE, requires_grad=True)
    optimizer = make(["state=int8"], theta)
    train(optimizer, theta, 2)
    twin = copy.deepcopy(optimizer)
    before = optimizer.state[theta]["m"].clone()
    train(twin, twin.param_groups[0]["params"][0], 2)
    assert torch.equal(optimizer.state[theta]["m"], before)


@pytest.mark.skipif(not has_compiler(CPU), reason="no compiler")
@pytest.mark.parametrize("word", ["bf16", "int8"])
@pytest.mark.parametrize("algorithm", ["lion", "adamw"])
def test_the_compiled_rule_is_the_eager_one(algorithm: str, word: str) -> None:
    starts = [torch.randn(shape) for shape in ((50, 100), (4097,), (8, 8), (6, 32, 5, 5), (1,))]
    starts[3] = starts[3].to(memory_format=torch.channels_last)
    ends = []
    for engine in ("eager", "compiled"):
        thetas = [start.clone().requires_grad_() for start in starts]
        overrides = [f"optimizer={algorithm}", "optimizer.impl=optbench", f"state={word}", f"optimizer.engine={engine}"]
        optimizer = make_subject(config.load(overrides)).build(thetas)
        optimizer.warm_up()
        assert optimizer.engine == engine
        random = torch.Generator().manual_seed(0)
        for _ in range(5):
            for theta in thetas:
                theta.grad = torch.randn(theta.shape, generator=random)
            optimizer.step()
        assert optimizer.state[thetas[0]]["m"].dtype == {"bf16": torch.bfloat16, "int8": torch.uint8}[word]
        ends.append(thetas)
    for one, other, start in zip(*ends, starts, strict=True):
        apart = (one - other).abs() / (one - start).abs().max()
        assert (apart > 1e-4).double().mean() < 1e-3  # a moment on the edge between two codes may fall on either side


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (["optimizer=adamw"], "needs a rule of optbench, and AdamW is not one", "Set optimizer.impl=optbench"),
        (["optimizer=momentum"], "needs a rule of optbench, and SGD is not one", "Leave out state="),
        (["optimizer=muon"], "treats every element by itself, which Muon does not", "optimizer=lion"),
        (["optimizer=signsgd"], "names no moments", "optimizer=lion"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_it_cannot_wrap_is_refused_with_a_way_out(overrides: list[str], message: str, hint: str) -> None:
    theta = torch.zeros(3, 3, requires_grad=True)
    with pytest.raises(ConfigError, match=message) as caught:
        make_subject(config.load([*overrides, "state=int8"])).build([theta])
    assert hint in caught.value.hint


@pytest.mark.parametrize("word", ["bf16", "int8"])
@pytest.mark.parametrize("algorithm", ["adamw", "schedulefree"])
def test_the_check_follows_the_papers_rounding(algorithm: str, word: str) -> None:
    overrides = [f"optimizer={algorithm}", "optimizer.impl=optbench", f"state={word}"]
    assert modifiers(make_subject(config.load(overrides))).state == PASS


def test_the_check_sees_a_broken_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Int8, "encode", lambda self, moment, values, beside: beside.zero_())
    assert modifiers(make_subject(config.load([*ADAMW, "state=int8"]))).state == DIFFERS


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="state=int4: expected fp32, bf16, int8, true or false"):
        config.load(["state=int4"])


def test_fp32_is_no_modifier() -> None:
    plain, fp32 = config.load(ADAMW), config.load([*ADAMW, "state=fp32"])
    assert fp32.modifiers == () and fp32.run_id == plain.run_id
    assert config.load([*ADAMW, "state=true"]).run_id == config.load([*ADAMW, "state.dtype=int8"]).run_id


@pytest.mark.parametrize("word", ["bf16", "int8"])
def test_a_run_trains_as_far_as_with_fp32(word: str, tmp_path: Path) -> None:
    losses = {}
    for state in ("fp32", word):
        loaded = config.load([*QUICK, "model=mlp", "steps=200", *ADAMW, f"state={state}"])
        losses[state] = execute(loaded, tmp_path / state).result["final"]["val_loss"]
    assert losses[word] != losses["fp32"]
    assert losses[word] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.parametrize(("override", "label"), [("state=int8", "state=int8"), ("state.dtype=bf16", "state=bf16")])
def test_its_word_is_in_the_label_of_a_run(override: str, label: str) -> None:
    loaded = config.load([*ADAMW, override])
    assert [modifier.label for modifier in loaded.modifiers] == [label]
    assert label.replace("=", "_") in loaded.run_id


def test_a_modifier_without_words_is_called_by_its_name() -> None:
    assert [modifier.label for modifier in config.load(["lookahead=true"]).modifiers] == ["lookahead"]
