"""Other libraries' optimizers: each equals our rule, or its YAML file declares how it differs."""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch._dynamo.config
import torch._inductor.config

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError, MissingError
from optbench.optimizers.core.build import build
from optbench.optimizers.core.interface import engine_of
from optbench.optimizers.core.rates import peak_rates, set_rates
from optbench.optimizers.core.shipped import library_defaults, pinned_differences, shipped_arguments, shipped_target

CONF = config.packaged_folder()
SHAPES = ((), (7,), (3, 5), (2, 3, 4), (4, 2, 3, 3))  # unless the optimizer's file names others for checks
ROLES = ("bias", "bias", "matrix", "convolution", "convolution")  # by rank
STEPS = 20
AGREE = 5e-4  # of the displacement; some libraries compute in float32 whatever the parameters are


@functools.cache
def facts(name: str) -> dict[str, Any]:
    return config.load([f"optimizer={name}"]).optimizer.about["implementations"]


@functools.cache
def defaults(name: str) -> dict[str, Any]:
    return dict(config.load([f"optimizer={name}"]).optimizer.settings)


def peers() -> list[tuple[str, str]]:
    """Return every implementation except the reference: ours, or torch's if we have none."""
    found = []
    for name in config.options([CONF], "optimizer"):
        known = facts(name)
        reference = reference_of(known)
        found += [(name, impl) for impl in known if impl != reference and comparable(known[impl], known[reference])]
    return found


def reference_of(known: dict[str, Any]) -> str:
    return next((impl for impl in ("optbench", "torch") if impl in known), next(iter(known)))


def comparable(peer: dict[str, Any], reference: dict[str, Any]) -> bool:
    """Return True if both need gradients only."""
    return "torch.optim.LBFGS" not in (peer["target"], reference["target"])


def skip_unless_installed(facts_of_one: dict[str, Any]) -> None:
    module = facts_of_one["target"].removeprefix("optbench.peers.").split(".")[0]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use one thread for small tensors, and heavyball's rules uncompiled: each takes seconds to compile."""
    if importlib.util.find_spec("heavyball"):
        monkeypatch.setattr("heavyball.utils.compile_mode", None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def trajectory(name: str, impl: str, settings: tuple[str, ...]) -> list[torch.Tensor]:
    """Return the parameters before and after every step of a fixed gradient sequence: flat float64 vectors.

    The second half has half of the learning rate."""
    every = ["optimizer.no_decay=[]"] if "no_decay" in defaults(name) else []
    choice = config.load([f"optimizer={name}", f"optimizer.impl={impl}", *every, *settings]).optimizer
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    shapes = [tuple(shape) for shape in choice.about.get("shapes", SHAPES)]
    roles = [(ROLES[len(shape)], shape) for shape in shapes]
    parameters = [Parameter(f"p{i}", draw(s).mul(0.5).requires_grad_(), r) for i, (r, s) in enumerate(roles)]
    problem = Problem(tuple(parameters), {}, None)
    needs = list(choice.about["needs"])
    optimizer = build(imports.load(choice.target), choice.settings, choice.implementation, problem, needs)
    passed = [torch.cat([p.tensor.detach().flatten() for p in parameters])]
    for step in range(STEPS):
        if step == STEPS // 2 and "own_schedule" not in needs:
            set_rates(optimizer, peak_rates(optimizer), 0.5)
        for p in parameters:
            p.tensor.grad = (draw(p.tensor.shape) + 0.3) * 0.1
        optimizer.step()
        passed.append(torch.cat([p.tensor.detach().flatten() for p in parameters]))
    return passed


def disagreement(name: str, impl: str, decay: float, exact: bool = True) -> float:
    """Return the largest distance of two trajectories, relative to the largest displacement of ours.

    `exact`: ours is in full precision, whatever theirs requires."""
    known = facts(name)
    decays = {"weight_decay": decay} if "weight_decay" in defaults(name) else {}
    required = {**known[impl].get("requires", {}), **decays}
    precise = {**required, **(config.load([f"optimizer={name}"]).optimizer.about.get("exact", {}) if exact else {})}
    ours, theirs = (
        trajectory(name, one, tuple(f"optimizer.{key}={config.as_typed(value)}" for key, value in settings.items()))
        for one, settings in ((reference_of(known), precise), (impl, required))
    )
    displacement = max(float((step - ours[0]).abs().max()) for step in ours)
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) / displacement


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore:Learning rate changed between steps")  # heavyball
@pytest.mark.parametrize(("name", "impl"), peers())
def test_a_peer_equals_our_rule_or_declares_how_it_differs(name: str, impl: str) -> None:
    one = facts(name)[impl]
    skip_unless_installed(one)
    worst = max(disagreement(name, impl, decay) for decay in (0.0, 0.1))
    declared = one.get("differs", {}).get("faithful")
    if declared:
        assert worst > AGREE, f"declares '{declared}', but agrees to {worst:.1e}"
    else:
        assert worst < AGREE


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("impl", ["torch", "timm", "pytorch_optimizer"])
def test_muons_peers_round_as_ours_in_bfloat16(impl: str) -> None:
    skip_unless_installed(facts("muon")[impl])
    assert disagreement("muon", impl, 0.1, exact=False) < AGREE


# -- as the library ships it -------------------------------------------------------------------------------------------


def chosen(name: str, impl: str) -> tuple[Any, ...]:
    required = facts(name)[impl].get("requires", {})
    settings = [f"optimizer.{key}={config.as_typed(value)}" for key, value in required.items()]
    choice = config.load([f"optimizer={name}", f"optimizer.impl={impl}", *settings]).optimizer
    return choice.settings, choice.implementation, imports.load(choice.target)


def test_values_pinned_against_the_librarys_defaults_are_listed() -> None:
    said = pinned_differences(*chosen("lamb", "timm"))
    assert "max_grad_norm 1.0 (pinned: null)" in said
    assert "always_adapt false (pinned: true)" in said
    assert not [text for text in said if text.split()[0] in ("lr", "weight_decay", "betas")]
    assert "nesterov false (pinned: true)" in pinned_differences(*chosen("muon", "timm"))
    assert pinned_differences(*chosen("lion", "optbench")) == []


def test_hidden_and_translated_defaults_are_found() -> None:
    pytest.importorskip("pytorch_optimizer")
    settings, implementation, target = chosen("lamb", "pytorch_optimizer")
    assert library_defaults(target)["adam_debias"] is False
    assert "adam_debias false (pinned: true)" in pinned_differences(settings, implementation, target)
    assert "clip_threshold" in library_defaults(chosen("adafactor", "transformers")[2])
    assert pinned_differences(*chosen("adafactor", "transformers")) == []


@pytest.mark.parametrize(("name", "impl"), peers())
def test_a_peer_as_shipped_gets_lr_and_weight_decay_only(name: str, impl: str) -> None:
    skip_unless_installed(facts(name)[impl])
    settings, implementation, target = chosen(name, impl)
    given = shipped_arguments(settings, implementation, target)
    assert given == {key: settings[key] for key in ("lr", "weight_decay") if key in settings}
    assert imports.shipped_sha256(shipped_target(target)) is not None, "a class of the library's, not an adapter"


def test_required_values_are_checked_as_shipped_too() -> None:
    settings, implementation, target = chosen("radam", "timm")
    with pytest.raises(ConfigError, match=r"only threshold=5\.0 \(not 4\.0\)"):
        shipped_arguments({**settings, "threshold": 4.0}, implementation, target)


# -- adapters ----------------------------------------------------------------------------------------------------------


def test_an_unknown_argument_is_refused() -> None:
    pytest.importorskip("pytorch_optimizer")
    lion = imports.load("optbench.peers.pytorch_optimizer.Lion")
    weight = torch.zeros(2, requires_grad=True)
    with pytest.raises(TypeError, match="wings"):
        lion([weight], lr=0.1, wings=2)
    assert type(lion([weight], lr=0.1)).__name__ == "Lion"


@pytest.mark.parametrize("path", ["pytorch_optimizer.Lionn", "optimi.Nothing", "schedulefree.train"])
def test_an_unknown_class_is_a_config_error(path: str) -> None:
    pytest.importorskip(path.split(".")[0])
    with pytest.raises(ConfigError, match="has no"):
        imports.load(f"optbench.peers.{path}")


@pytest.mark.parametrize("library", ["pytorch_optimizer", "optimi", "heavyball", "schedulefree"])
def test_a_missing_library_names_the_install_command(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # Python's mark of a module that cannot be imported
    with pytest.raises(MissingError) as caught:
        imports.load(f"optbench.peers.{library}.AdamW")
    assert caught.value.exit_code == 4
    assert "pip install 'optbench[peers]'" in caught.value.hint


def test_an_engine_may_differ_by_device() -> None:
    optimizer = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1)
    assert engine_of(optimizer, {"engine": {"cpu": "eager", "cuda": "foreach"}}) == "eager"
    assert engine_of(optimizer, {"engine": {"cpu": "foreach"}}) == "foreach"
    assert engine_of(optimizer, {}) == "eager"


def global_state() -> dict[str, Any]:
    return {
        "dtype": torch.get_default_dtype(),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "einsum": torch.backends.opt_einsum.strategy,
        "threads": torch.get_num_threads(),
        "inductor": torch._inductor.config.get_config_copy(),
        "dynamo": torch._dynamo.config.get_config_copy(),
    }


def test_heavyball_does_not_change_torchs_global_settings_or_the_gradients() -> None:
    pytest.importorskip("heavyball")
    before = global_state()
    weight = torch.ones(3, requires_grad=True)
    optimizer = imports.load("optbench.peers.heavyball.SGD")([weight], lr=0.1)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert weight.grad is not None
    assert global_state() == before


def test_torchs_adafactor_survives_a_row_of_zero_gradients() -> None:
    """torch squares its eps: the square of 1e-30 is 0 in float32, and 0 / 0 would follow."""
    loaded = config.load(["optimizer=adafactor", "optimizer.impl=torch"]).optimizer
    theta = torch.ones(3, 4, requires_grad=True)
    problem = Problem((Parameter("theta", theta, "matrix"),))
    optimizer = build(imports.load(loaded.target), loaded.settings, loaded.implementation, problem, [])
    theta.grad = torch.ones(3, 4) * torch.tensor([0.0, 1.0, 2.0, 3.0])
    optimizer.step()
    assert theta.isfinite().all()
    assert theta[:, 0].tolist() == [1.0] * 3
