"""The engine: compiled and concatenated, a rule gives its eager results for any layout, group and history."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from optbench.optimizers.adabelief import AdaBelief
from optbench.optimizers.adafactor import Adafactor
from optbench.optimizers.adam import Adam, AdamW
from optbench.optimizers.adan import Adan
from optbench.optimizers.adopt import ADOPT
from optbench.optimizers.amsgrad import AMSGrad
from optbench.optimizers.core import compiled_call
from optbench.optimizers.core import engine as engine_module
from optbench.optimizers.core.choose_engine import has_compiler
from optbench.optimizers.core.engine import CONCATENATED_BELOW, RuleOptimizer
from optbench.optimizers.core.rule import elementwise, lerp, lerp_
from optbench.optimizers.dadapt_adam import DAdaptAdam
from optbench.optimizers.lamb import LAMB
from optbench.optimizers.lion import Lion
from optbench.optimizers.prodigy import Prodigy
from optbench.optimizers.radam import RAdam
from optbench.optimizers.signsgd import SignSGD
from optbench.optimizers.signum import Signum

pytestmark = pytest.mark.skipif(not has_compiler(torch.device("cpu")), reason="no C++ compiler here")

TOLERANCE = {torch.float64: 1e-13, torch.float32: 3e-6}  # of the parameters' size after STEPS steps
STEPS = 6
ADAM = {"lr": 0.01, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1}
ESTIMATE: dict[str, Any] = {"d0": 0.01, "d_coef": 1.0, "growth_rate": 1.02}
SAFE: dict[str, Any] = {"safeguard_warmup": True, "use_bias_correction": True}
OPTIMIZERS: dict[str, Callable[..., RuleOptimizer]] = {
    "lion": lambda p, e: Lion(p, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, engine=e),
    "signsgd": lambda p, e: SignSGD(p, lr=0.01, weight_decay=0.1, engine=e),
    "signum": lambda p, e: Signum(p, lr=0.01, momentum=0.9, weight_decay=0.1, engine=e),
    "adam": lambda p, e: Adam(p, **ADAM, engine=e),
    "adamw": lambda p, e: AdamW(p, **ADAM, engine=e),
    "adabelief": lambda p, e: AdaBelief(p, **ADAM, engine=e),
    "radam": lambda p, e: RAdam(p, **ADAM, threshold=4.0, early="momentum", engine=e),
    "adan": lambda p, e: Adan(p, **{**ADAM, "betas": (0.98, 0.92, 0.99)}, engine=e),
    "adopt": lambda p, e: ADOPT(p, **{**ADAM, "eps": 1e-6}, clip_power=0.25, engine=e),
    "amsgrad": lambda p, e: AMSGrad(p, **ADAM, variant="torch", engine=e),
    "prodigy": lambda p, e: Prodigy(p, **{**ADAM, "lr": 1.0}, **ESTIMATE, **SAFE, engine=e),  # sums over all tensors
    "dadapt_adam": lambda p, e: DAdaptAdam(p, **{**ADAM, "lr": 1.0}, d0=0.01, growth_rate=1.02, engine=e),
    "lamb": lambda p, e: LAMB(p, **{**ADAM, "eps": 1e-6}, adapt=None, engine=e),
}
LARGE = CONCATENATED_BELOW["cpu"] + 1


def parameters(dtype: torch.dtype) -> list[torch.Tensor]:
    """Return tensors of 0 to 4 dimensions, empty and scalar, small and large, and with unusual layouts."""
    torch.manual_seed(3)
    shapes = [(), (0,), (1,), (7,), (3, 5), (2, 3, 4), (2, 3, 4, 5), (LARGE,), (2, LARGE // 2 + 1)]
    tensors = [torch.randn(shape, dtype=dtype) for shape in shapes]
    tensors += [
        torch.randn(4, 3, 5, 2, dtype=dtype).to(memory_format=torch.channels_last),
        torch.randn(6, 9).T.to(dtype),
    ]
    tensors += [torch.randn(16, 64, 5, 5, dtype=dtype).to(memory_format=torch.channels_last)]
    tensors += [torch.randn(4, 6, dtype=dtype)[:, ::2], torch.randn(200, 300, dtype=dtype)[:, ::2]]  # with gaps
    return [tensor.requires_grad_() for tensor in tensors]


def copied(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy tensors with their layout; `clone` would close gaps."""
    copies = []
    for tensor in tensors:
        span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        blank = torch.empty(max(span, 0) if tensor.numel() else 0, dtype=tensor.dtype)
        copies.append(blank.as_strided(tensor.shape, tensor.stride()))
        copies[-1].copy_(tensor.detach())
    return [one.requires_grad_() for one in copies]


def train(optimizers: list[Any], tensors: list[list[torch.Tensor]], seed: int, steps: int = STEPS) -> None:
    """Take the same steps with each optimizer; gradients are new tensors, every second one row-major."""
    for step in range(steps):
        torch.manual_seed(100 * seed + step)
        for place, one in enumerate(tensors[0]):
            gradient = torch.randn(one.shape, dtype=one.dtype)
            for optimizer_tensors in tensors:
                like = (
                    torch.empty_like(optimizer_tensors[place]) if place % 2 else torch.empty(one.shape, dtype=one.dtype)
                )
                optimizer_tensors[place].grad = like.copy_(gradient).detach()
        for optimizer in optimizers:
            optimizer.step()


def assert_close(expected: list[torch.Tensor], found: list[torch.Tensor]) -> None:
    for one, other in zip(expected, found, strict=True):
        bound = TOLERANCE[one.dtype]
        torch.testing.assert_close(other, one, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_compiled_equals_eager(name: str, dtype: torch.dtype) -> None:
    eager, compiled = parameters(dtype), copied(parameters(dtype))
    start = copied(eager)
    both = [OPTIMIZERS[name](eager, "eager"), OPTIMIZERS[name](compiled, "compiled")]
    both[1].warm_up()
    assert [one.engine for one in both] == ["eager", "compiled"]
    train(both, [eager, compiled], seed=1)
    assert_close(eager, compiled)
    for before, after in zip(start, compiled, strict=True):
        assert before.numel() == 0 or not torch.equal(before, after)
    for one, other in zip(eager, compiled, strict=True):
        for key, value in both[0].state[one].items():
            if key != "step":
                assert_close([value], [both[1].state[other][key]])


def lion_pair(dtype: torch.dtype = torch.float64) -> tuple[list[Lion], list[list[torch.Tensor]]]:
    """Build an eager and a compiled Lion, each with two groups of different hyperparameters."""
    tensors = [parameters(dtype), copied(parameters(dtype))]
    optimizers = []
    for engine, own in zip(("eager", "compiled"), tensors, strict=True):
        groups = [{"params": own[::2], "lr": 0.02}, {"params": own[1::2], "weight_decay": 0.0, "betas": (0.5, 0.7)}]
        optimizers.append(Lion(groups, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1, engine=engine))
    return optimizers, tensors


def test_groups_keep_their_hyperparameters_and_take_new_parameters() -> None:
    optimizers, tensors = lion_pair()
    train(optimizers, tensors, seed=1)
    added = [torch.ones(5, dtype=torch.float64), torch.ones(LARGE, dtype=torch.float64)]
    for optimizer, own in zip(optimizers, tensors, strict=True):
        own += [tensor.clone().requires_grad_() for tensor in added]
        optimizer.add_param_group({"params": own[-2:], "lr": 0.5})
    train(optimizers, tensors, seed=2)
    assert_close(*tensors)
    alone = parameters(torch.float64)
    reference = Lion(alone, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    train([reference], [alone], seed=1)
    assert not torch.allclose(alone[3], tensors[0][3])  # else the groups' own settings had no effect


def test_a_loaded_state_continues_bit_for_bit() -> None:
    first, second = lion_pair(), lion_pair()
    train([first[0][1]], [first[1][1]], seed=1)
    file = io.BytesIO()
    torch.save({"state": first[0][1].state_dict(), "values": first[1][1]}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    train([second[0][1]], [second[1][1]], seed=7, steps=2)  # the loaded state must replace this one
    second[0][1].load_state_dict(saved["state"])
    with torch.no_grad():
        for tensor, value in zip(second[1][1], saved["values"], strict=True):
            tensor.copy_(value)
    for optimizers, tensors in (first, second):
        train([optimizers[1]], [tensors[1]], seed=2)
    for one, other in zip(first[1][1], second[1][1], strict=True):
        assert torch.equal(one, other)


def test_parameters_do_not_share_state_memory() -> None:
    optimizers, tensors = lion_pair(torch.float32)
    train(optimizers, tensors, seed=1)
    moments = [state["m"] for state in optimizers[1].state.values()]
    assert len({m.untyped_storage().data_ptr() for m in moments if m.numel()}) == sum(m.numel() > 0 for m in moments)
    assert all(m.untyped_storage().nbytes() <= 4 * m.numel() for m in moments if m.is_contiguous())


def test_parameters_without_a_gradient_do_not_change() -> None:
    optimizers, tensors = lion_pair()
    train(optimizers, tensors, seed=1, steps=1)
    before = copy.deepcopy([one.detach() for one in tensors[1]])
    tensors[1][3].grad = tensors[1][7].grad = None
    optimizers[1].step()
    assert torch.equal(before[3], tensors[1][3])
    assert torch.equal(before[7], tensors[1][7])
    assert not torch.equal(before[4], tensors[1][4])


@pytest.mark.parametrize("name", ["adamw", "adopt", "lamb"])
def test_schedules_and_new_shapes_do_not_recompile(name: str) -> None:
    from torch._dynamo.utils import counters

    mine = parameters(torch.float32)
    optimizer = OPTIMIZERS[name](mine, "compiled")
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    before = counters["stats"]["unique_graphs"]
    more = [torch.randn(shape) for shape in ((2,), (33, 1), (3, 700), (5, 1, 1, 2), (LARGE + 5,), (300, 301))]
    optimizer.add_param_group({"params": [tensor.requires_grad_() for tensor in more]})
    for step in range(4):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (step + 1)
        train([optimizer], [mine + more], seed=step, steps=1)
    assert counters["stats"]["unique_graphs"] == before


def test_a_shaped_rule_compiles_once_per_rank() -> None:
    from torch._dynamo.utils import counters

    mine = [torch.randn(shape, requires_grad=True) for shape in ((4, 6), (7,))]
    settings = {"lr": 0.01, "decay_power": 0.8, "eps1": 1e-30, "eps2": 1e-3, "clip_threshold": 1.0, "weight_decay": 0.0}
    mode = {"relative_step": True, "scale_parameter": True, "beta1": 0.9}
    optimizer = Adafactor(mine, **settings, **mode, engine="compiled")
    optimizer.warm_up()
    assert optimizer.engine == "compiled"
    before = counters["stats"]["unique_graphs"]
    more = [torch.randn(shape, requires_grad=True) for shape in ((9, 8), (30, 5), (12,))]
    optimizer.add_param_group({"params": more})
    train([optimizer], [mine + more], seed=1)
    assert counters["stats"]["unique_graphs"] == before


def test_only_elementwise_rules_see_concatenated_tensors() -> None:
    """The norm of two concatenated tensors differs from their own norms: LAMB must not see them concatenated."""
    seen: list[int] = []

    def counting(theta: torch.Tensor, g: torch.Tensor, lr: float) -> None:
        seen.append(theta.numel())
        theta.sub_(g * lr)

    class Counted(RuleOptimizer):
        rule: Any = staticmethod(counting)

        def hyperparameters(self, group: dict[str, Any], t: int) -> tuple[float, ...]:
            return (0.1,)

    def lengths() -> list[int]:
        seen.clear()
        mine = [torch.ones(n, requires_grad=True) for n in (3, 5, LARGE)]
        for tensor in mine:
            tensor.grad = torch.ones_like(tensor)
        Counted(mine, {}, "compiled").step()
        assert all(torch.allclose(tensor, torch.full_like(tensor, 0.9)) for tensor in mine)
        return sorted(seen)

    uncompiled = pytest.MonkeyPatch()
    uncompiled.setattr(engine_module, "compiled_call", lambda rule, tensors, numbers: rule)
    try:
        assert lengths() == [3, 5, LARGE]
        elementwise(counting)
        assert lengths() == [8, LARGE]
    finally:
        uncompiled.undo()


def test_lerp_is_the_same_compiled_and_eager() -> None:
    def both(a: torch.Tensor, b: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        result = lerp(a, b, weight)
        lerp_(a, b, weight)
        return result

    a, b = torch.randn(2, 50, dtype=torch.float64)
    for weight in (0.0, 0.001, 0.5, 0.9, 1.0):
        number = torch.tensor(weight, dtype=torch.float64)
        eager, compiled = a.clone(), a.clone()
        results = both(eager, b, number), torch.compile(both, dynamic=True)(compiled, b, number)
        expected = (1 - weight) * a + weight * b
        for found in (*results, eager, compiled):
            torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_a_copy_keeps_its_engine() -> None:
    theta = torch.ones(3, requires_grad=True)
    optimizer = Lion([theta], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0, engine="eager")
    theta.grad = torch.ones(3)
    optimizer.step()
    twin = copy.deepcopy(optimizer)
    assert twin.engine == "eager"
    (other,) = twin.param_groups[0]["params"]
    other.grad = torch.ones(3)
    twin.step()
    optimizer.step()
    assert torch.equal(other, theta)


def test_hyperparameters_of_bf16_weights_are_not_rounded_to_bf16() -> None:
    """1 - 0.1 * 0.05 = 0.995 is 0.9961 in bf16; the product would then differ in a quarter of all cases."""
    start = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).add(1).to(torch.bfloat16)
    theta = start.clone().requires_grad_()
    optimizer = Lion([theta], lr=0.1, betas=(0.9, 0.99), weight_decay=0.05, engine="compiled")
    theta.grad = torch.ones_like(theta)
    optimizer.step()
    exact = (start.float() * 0.995 - 0.1).to(torch.bfloat16)
    assert (theta.detach() != exact).float().mean() < 0.01


def test_elementwise_rules_are_called_without_guards() -> None:
    from optbench.optimizers.core.compiled_call import input_order, unguarded
    from optbench.optimizers.lion import lion

    numbers = [torch.tensor(x) for x in (0.1, 0.1, 0.01, 0.995)]
    for length in (2, 700, 5000):
        mine = [torch.linspace(-1, 1, length) for _ in range(3)]
        theirs = [tensor.clone() for tensor in mine]
        code = unguarded(lion, mine, numbers)
        assert code is not None
        assert code is unguarded(lion, theirs, numbers)
        with torch.no_grad():
            code(*mine, *numbers)
            lion(*theirs, *map(float, numbers))
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)

    def not_compiled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    assert input_order(torch.fx.symbolic_trace(not_compiled), ["x", "y"]) is None  # input names not from the compiler


def test_cached_views_follow_replaced_weights_and_states() -> None:
    theta, twin = torch.ones(9), torch.ones(9)
    mine, other = (Lion([t.requires_grad_()], lr=0.1, betas=(0.9, 0.99), weight_decay=0.1, engine=e) for t, e in
                   ((theta, "compiled"), (twin, "eager")))  # fmt: skip
    for step in range(6):
        for tensor, optimizer in ((theta, mine), (twin, other)):
            tensor.grad = torch.linspace(-1, 1, 9) * (-1.0) ** step
            if step == 2:
                tensor.data = tensor.data.clone()
            if step == 4:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer.step()
        torch.testing.assert_close(theta, twin)
        torch.testing.assert_close(mine.state[theta]["m"], other.state[twin]["m"])


def test_large_tensors_have_a_compiled_copy_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA the first tensor decides how a sum is divided; here the CPU stands in for it."""
    from torch._dynamo.utils import counters

    lengths: dict[str, list[int]] = {}

    def recorded(rule: Any, **options: Any) -> Any:
        compiled, seen = torch.compile(rule, **options), lengths.setdefault(rule.__name__, [])

        def call(*arguments: torch.Tensor) -> None:
            seen.append(arguments[0].numel())
            compiled(*arguments)

        return call

    monkeypatch.setattr(compiled_call, "LARGE_FROM", {"cpu": 10_000})
    monkeypatch.setattr(engine_module, "EXAMPLE_LENGTHS", {"cpu": (7000, 1 << 17)})
    monkeypatch.setattr(compiled_call, "torch", SimpleNamespace(**{**vars(torch), "compile": recorded}))
    compiled_call.guarded.cache_clear()
    shapes = [(33,), (9_999,), (10_000,), (400, 300)]
    tensors = [[torch.linspace(-1, 1, torch.Size(s).numel(), dtype=torch.float64).reshape(s) for s in shapes]]
    tensors.append(copied(tensors[0]))
    tensors[0] = [tensor.requires_grad_() for tensor in tensors[0]]
    both = [OPTIMIZERS["lamb"](own, engine) for own, engine in zip(tensors, ("eager", "compiled"), strict=True)]
    both[1].warm_up()
    assert both[1].engine == "compiled"
    assert lengths == {"lamb": [7000], "lamb_large": [1 << 17]}
    before = counters["stats"]["unique_graphs"]
    train(both, tensors, seed=1, steps=2)
    assert counters["stats"]["unique_graphs"] == before
    assert lengths == {"lamb": [7000, *[33, 9_999] * 2], "lamb_large": [1 << 17, *[10_000, 120_000] * 2]}
    assert_close(*tensors)
    compiled_call.guarded.cache_clear()
