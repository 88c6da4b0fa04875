"""`optbench bench step`: real shapes, one row per implementation, state bytes as in theory. Asserts no times."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch

from optbench import config
from optbench.benches import step
from optbench.benches.stepping import shapes
from optbench.benches.stepping.contestants import contestants
from optbench.benches.stepping.counting import MARK, Calls, calls_in, calls_of
from optbench.benches.stepping.timing import Floor, milliseconds, take_turns
from optbench.cli import bench
from optbench.contracts import ROLES
from optbench.errors import ConfigError
from optbench.training.memory import peak_extra_bytes, peak_of

CPU = torch.device("cpu")
TORCH_STEP_BYTES = 4  # torch's Adam keeps its step of each tensor in a float32 tensor


@pytest.fixture(autouse=True)
def tiny_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a parameter set of 23 tensors."""
    monkeypatch.setitem(shapes.SETS, "tiny", partial(shapes.bert, 8, 1, 30, 6))


def measured(*overrides: str, **settings: Any) -> dict[str, Any]:
    found = config.load(["threads=1", "device=cpu", *overrides])
    return step.measure(found, **{"shapes": "tiny", "rounds": 2, **settings})


@pytest.mark.parametrize(
    ("name", "tensors", "elements"),
    [
        ("resnet18", 62, 11_689_512),
        ("vit_b", 152, 86_567_656),
        ("vit_s", 152, 22_050_664),
        ("bert_base", 199, 109_482_240),
        ("bert_s", 71, 28_763_648),
    ],
)
def test_parameter_sets_have_the_sizes_of_their_networks(name: str, tensors: int, elements: int) -> None:
    found = list(shapes.SETS[name]())
    assert len({label for label, _, _ in found}) == len(found) == tensors
    assert sum(torch.Size(shape).numel() for _, shape, _ in found) == elements
    assert {role for _, _, role in found} <= set(ROLES)


@pytest.mark.slow
def test_every_implementation_is_a_row() -> None:
    report = measured("optimizer=adamw")
    rows = report["rows"]
    named = {(row["implementation"], row["engine"]) for row in rows}
    assert {("optbench", "eager"), ("optbench", "compiled"), ("torch", "fused")} <= named
    declared = set(config.load(["optimizer=adamw"]).optimizer.about["implementations"])
    assert {row["implementation"] for row in rows} | {one["implementation"] for one in report["skipped"]} == declared
    fused = next(row for row in rows if row["implementation"] == "torch")
    ours = next(row for row in rows if row["ours"] and row["engine"] == "compiled")
    others = [row["ms"] for row in rows if not row["ours"] and row["engine"] not in step.PLAIN_ENGINES]
    assert ours["ratio_to_compiled"] == pytest.approx(ours["ms"] / min(others))
    assert fused["ms_quarter"] <= fused["ms"] <= fused["ms_three_quarters"]
    assert {goal["measure"] for goal in report["goals"]} == {"ratio_to_eager", "ratio_to_compiled"}
    for goal in report["goals"]:
        assert goal["holds"] is (goal["value"] <= goal["bound"])
    json.dumps(report)
    assert any(line.startswith("goal adamw") for line in step.lines(report))


@pytest.mark.parametrize(("name", "bytes_each"), [("sgd", 0), ("signsgd", 0), ("lion", 4), ("adamw", 8), ("adan", 16)])
def test_state_bytes_equal_theory(name: str, bytes_each: int) -> None:
    skipped: list[dict[str, str]] = []
    own = {"optbench", "torch"}
    choice = config.load([f"optimizer={name}"]).optimizer
    implementations = {key: value for key, value in choice.about["implementations"].items() if key in own}
    choice = config.Choice(
        name=name, settings=choice.settings, about={**choice.about, "implementations": implementations}
    )
    rows = step.compare(choice, "tiny", CPU, 1, skipped)
    assert not skipped
    for row in rows:
        counters = TORCH_STEP_BYTES * row["tensors"] if row["implementation"] == "torch" and bytes_each else 0
        assert row["state_bytes"] == bytes_each * row["parameters"] + counters


def test_adafactors_state_is_smaller_than_its_parameters() -> None:
    report = measured("optimizer=adafactor")
    ours = [row for row in report["rows"] if row["ours"]]
    matrices = [shape for _, shape, _ in shapes.SETS["tiny"]()]
    expected = sum(4 * (sum(shape) if len(shape) > 1 else shape[0]) for shape in matrices)
    assert [row["state_bytes"] for row in ours] == [expected] * len(ours)
    assert expected < 4 * ours[0]["parameters"]


def test_an_implementation_that_does_not_run_is_skipped_with_the_reason() -> None:
    choice = config.load(["optimizer=lion"]).optimizer
    broken = {"target": "optbench.optimizers.lion.Lion", "fixed": {"nonsense": 1}}
    about = {**choice.about, "implementations": {"broken": broken}}
    skipped: list[dict[str, str]] = []
    altered = config.Choice(name="lion", settings=choice.settings, about=about)
    assert contestants(altered, "tiny", CPU, skipped) == []
    assert {one["implementation"] for one in skipped} == {"broken"}
    assert "nonsense" in skipped[0]["reason"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shapes": "tiny,none"}, "unknown parameter set 'none'"),
        ({"rounds": 0}, "rounds=0: must be at least 1"),
        ({"algorithms": "lionn"}, "no optimizer 'lionn'"),
        ({"algorithms": "sophia_h"}, "curvature"),
    ],
)
def test_mistakes_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        measured("optimizer=lion", **settings)


def test_only_equal_work_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's Muon takes no convolutions: it is compared with ours where both leave them to AdamW."""

    def pair(role: str) -> Any:
        monkeypatch.setitem(shapes.SETS, "tiny", lambda: iter([("a", (4, 6), "matrix"), ("b", (4, 2, 3, 3), role)]))
        report = measured("optimizer=muon", rounds=1)
        works = {(row["implementation"], row["work"]) for row in report["rows"]}
        return report, works

    report, works = pair("convolution")
    other = "matrices=[matrix]"
    assert {("optbench", ""), ("optbench", other), ("torch", other), ("timm", "")} <= works
    assert ("torch", "") not in works
    torchs = next(row for row in report["rows"] if row["implementation"] == "torch")
    for row in report["rows"]:
        if row["work"] == other:
            assert row["ratio_to_fastest"] == pytest.approx(row["ms"] / torchs["ms"])
    assert any(other in line for line in step.lines(report))
    (goal,) = report["goals"]
    best: dict[str, float] = {}
    for row in (row for row in report["rows"] if row["ours"]):
        best[row["work"]] = min(best.get(row["work"], math.inf), row["ratio_to_fastest"])
    assert (goal["measure"], goal["bound"]) == ("ratio_to_fastest", 0.7)
    assert goal["value"] == pytest.approx(max(best.values()))
    _, works = pair("first")  # not a matrix to either
    assert {work for _, work in works} == {""}


def test_elementwise_selects_our_rules_that_need_only_gradients() -> None:
    names = {found.optimizer.name for found in step.select_configs(config.load([]), "elementwise")}
    assert {"lion", "adam", "adamw", "signum", "signsgd", "adabelief", "radam", "adan", "adopt", "amsgrad"} <= names
    assert not {"lamb", "lars", "sgd", "sophia_h", "shampoo"} & names


def test_the_command_accepts_the_benchs_settings(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["optimizer=signsgd", "shapes=tiny", "rounds=3", "threads=1", "device=cpu"]
    bench.bench("step", overrides, as_json=True)
    assert json.loads(capsys.readouterr().out)["rounds"] == 3
    bench.bench("step", overrides)
    assert "signsgd on tiny: 23 tensors" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="rounds=many: expected a whole number"):
        bench.bench("step", ["rounds=many"])
    with pytest.raises(ConfigError, match="unknown bench") as refused:
        bench.bench("stepping")
    assert "step" in refused.value.hint
    assert "stepping" not in refused.value.hint


def test_turns_rotate() -> None:
    calls: list[str] = []

    class Runner:
        def __init__(self, name: str) -> None:
            self.name, self.seconds = name, list[float]()

        def step(self) -> None:
            calls.append(self.name)

    runners = [Runner(name) for name in "abc"]
    take_turns(runners, 3, CPU)
    assert "".join(calls) == "abcbcacab"
    assert [len(runner.seconds) for runner in runners] == [3, 3, 3]


def test_peak_memory_is_that_of_the_step() -> None:
    def wasteful() -> None:
        first = torch.zeros(100_000)
        del first
        second = torch.zeros(200_000)
        torch.add(second, 1.0)

    assert 1_600_000 <= peak_extra_bytes(wasteful, CPU) < 1_700_000
    assert peak_extra_bytes(lambda: None, CPU) == 0


def test_peak_of_a_trace() -> None:
    def events() -> Iterator[dict[str, Any]]:
        for when, size in ((3, -4), (1, 4), (2, 6), (4, 1)):
            yield {"name": "[memory]", "ts": when, "args": {"Bytes": size}}
        yield {"name": "aten::add", "ts": 0}

    assert peak_of(list(events())) == 10


def test_a_steps_operations_and_reads_are_counted() -> None:
    theta = torch.ones(4)
    assert calls_of(lambda: theta.add_(1).mul_(2).view(2, 2), CPU, "eager") == Calls(2, 0)
    assert calls_of(lambda: theta.mul_(theta.sum().item()), CPU, "eager") == Calls(3, 1)
    assert calls_of(lambda: theta.add_(1), CPU, "compiled") == Calls(None, None)


def test_kernels_and_waits_are_those_of_the_marked_step() -> None:
    def event(name: str, start: float, kind: str = "cuda_runtime") -> dict[str, Any]:
        return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": 5.0}

    step = {**event(MARK, 100.0, "user_annotation"), "dur": 50.0}
    inside = ["cudaLaunchKernel", "cuLaunchKernelEx", "cudaMemcpyAsync", "cudaStreamSynchronize", "aten::add"]
    trace = [
        {"ph": "M", "name": "process_name"},
        event("cudaLaunchKernel", 90.0),
        step,
        {**step, "cat": "gpu_user_annotation", "ts": 120.0},
        *(event(name, 101.0 + place) for place, name in enumerate(inside)),
        event("void add_kernel", 104.0, "kernel"),
        event("cudaDeviceSynchronize", 160.0),
    ]
    assert calls_in(trace) == Calls(2, 1)


def test_one_operation_of_lists_replaces_one_for_each_tensor() -> None:
    rows = measured("optimizer=adamw", rounds=1)["rows"]
    calls = {(row["implementation"], row["engine"]): row["operations"] for row in rows}
    assert calls["optbench", "compiled"] is None
    assert calls["torch", "fused"] < calls["torch_foreach", "foreach"] < calls["optbench", "eager"]
    assert all(row["host_waits"] == 0 for row in rows if row["ours"] and row["engine"] == "eager")


def test_floor_and_milliseconds() -> None:
    floor = Floor(1000, CPU)
    floor.seconds += [2e-6, 1e-6, 4e-6]
    assert floor.bytes_per_second() == pytest.approx(12_000 / 2e-6)
    assert milliseconds([0.001, 0.002, 0.003]) == pytest.approx({"ms": 2, "ms_quarter": 1.5, "ms_three_quarters": 2.5})
    assert milliseconds([0.001])["ms_quarter"] == pytest.approx(1)
