"""Scion: every kind of parameter has its norm and its radius."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from optbench import config
from optbench.checks.papers.scion import lmo
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.optimizers.core.build import build

NORMS = ("spectral", "sign", "column", "row")
ROLES = {
    "embedding": (6, 5),
    "first": (4, 3, 2, 2),
    "matrix": (5, 8),
    "convolution": (4, 3, 3, 3),
    "head": (3, 5),
    "norm": (5,),
    "bias": (1, 1, 5),
}
LR, RADII = 0.01, {"embedding": 7.0, "head": 30.0}
RADIUS = 2.0


def make(*overrides: str, **shapes: tuple[int, ...]) -> tuple[dict[str, Tensor], Any]:
    """Return a parameter for each role and its optimizer, exact and in float64."""
    torch.manual_seed(0)
    given = {role: torch.randn(shape, dtype=torch.float64) for role, shape in {**ROLES, **shapes}.items()}
    tensors = {role: tensor.requires_grad_() for role, tensor in given.items()}
    radii = [f"radius={RADIUS}", *(f"{kind}_radius={radius}" for kind, radius in RADII.items())]
    settings = [f"lr={LR}", "ns_dtype=float64", *radii, *overrides]
    choice = config.load(["optimizer=scion", *(f"optimizer.{setting}" for setting in settings)]).optimizer
    problem = Problem(tuple(Parameter(role, tensor, role) for role, tensor in tensors.items()))
    return tensors, build(imports.load(choice.target), choice.settings, choice.implementation, problem, [])


def stepped(tensors: dict[str, Tensor], optimizer: Any, seed: int = 1) -> dict[str, Tensor]:
    """Take a step with random gradients; return how far each tensor moved, in units of lr."""
    generator = torch.Generator().manual_seed(seed)
    before = {role: tensor.detach().clone() for role, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.grad = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    optimizer.step()
    return {role: (before[role] - tensor.detach()) / LR for role, tensor in tensors.items()}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("role", "kind", "shape"),
    [
        ("embedding", "embedding", (6, 5)),
        ("embedding", "embedding", (1, 3, 4)),
        ("first", "first", (3, 8)),
        ("first", "first", (8, 3)),
        ("first", "first", (4, 3, 2, 2)),
        ("matrix", "hidden", (3, 8)),
        ("convolution", "hidden", (4, 3, 3, 2)),
        ("convolution", "hidden", (4, 3, 5)),
        ("head", "head", (3, 5)),
    ],
)
def test_a_step_is_the_papers(role: str, kind: str, shape: tuple[int, ...], norm: str) -> None:
    moved = stepped(*(made := make(f"{kind}_norm={norm}", "constrained=false", **{role: shape})))
    gradient = made[0][role].grad
    assert gradient is not None
    expected = RADII.get(kind, RADIUS) * lmo(0.1 * gradient.numpy(), norm, kind, 5, "original")
    np.testing.assert_allclose(moved[role].numpy(), expected, rtol=1e-9, atol=1e-9)


def test_vectors_move_by_the_radius() -> None:
    moved = stepped(*make("constrained=false"))
    for role in ("norm", "bias"):
        assert moved[role].square().mean().sqrt().item() == pytest.approx(RADIUS, rel=1e-6)


def test_a_wide_first_matrix_is_not_made_smaller() -> None:
    """max(1, sqrt(outputs / inputs)): the authors' norm of a linear layer that reads the input."""
    sizes = {}
    for role in ("first", "matrix"):
        moved = stepped(*make("constrained=false", "ns_steps=30", "coefficients=polar_express", **{role: (2, 8)}))
        sizes[role] = torch.linalg.matrix_norm(moved[role], 2).item()
    assert sizes["first"] == pytest.approx(RADIUS, rel=1e-6)
    assert sizes["matrix"] == pytest.approx(RADIUS * math.sqrt(2 / 8), rel=1e-6)


def test_constrained_parameters_end_within_their_ball() -> None:
    tensors, optimizer = make("lr=0.2")
    with torch.no_grad():
        tensors["head"].mul_(1000)
    for seed in range(100):
        stepped(tensors, optimizer, seed)
    edge = RADII["head"] / tensors["head"].shape[1]
    assert tensors["head"].abs().max() <= edge * (1 + 1e-6)
    assert tensors["embedding"].abs().max() <= RADII["embedding"] * (1 + 1e-6)


@pytest.mark.parametrize(("constrained", "kept"), [("true", 1 - LR), ("false", 1.0)])
def test_only_the_constrained_form_decays(constrained: str, kept: float) -> None:
    """With m = 0 nothing else moves the parameters, of any kind."""
    tensors, optimizer = make(f"constrained={constrained}")
    before = {role: tensor.detach().clone() for role, tensor in tensors.items()}
    for tensor in tensors.values():
        tensor.grad = torch.zeros_like(tensor)
    optimizer.step()
    for role, tensor in tensors.items():
        torch.testing.assert_close(tensor.detach(), before[role] * kept, rtol=1e-12, atol=0)


def test_an_embedding_can_be_treated_as_the_head() -> None:
    """For an embedding that shares its weights with the head, as in the authors' nanoGPT."""
    _, optimizer = make("embedding_norm=head", "head_norm=row")
    kinds = {group["kind"]: group for group in optimizer.param_groups}
    assert "embedding" not in kinds
    assert [tuple(tensor.shape) for tensor in kinds["head"]["params"]] == [ROLES["embedding"], ROLES["head"]]
    assert (kinds["head"]["norm"], kinds["head"]["radius"]) == ("row", RADII["head"])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_broken_gradient_shows_in_every_kind(norm: str, broken: float) -> None:
    kinds = ("embedding", "first", "hidden", "head")
    tensors, optimizer = make(*(f"{kind}_norm={norm}" for kind in kinds))
    for tensor in tensors.values():
        tensor.grad = torch.ones_like(tensor)
        tensor.grad.view(-1)[0] = broken
    optimizer.step()
    assert all(tensor.isnan().any() for tensor in tensors.values())


def test_state_is_one_tensor_like_the_parameter() -> None:
    tensors, optimizer = make()
    stepped(tensors, optimizer)
    for tensor in tensors.values():
        (state,) = (value for value in optimizer.state[tensor].values() if isinstance(value, Tensor))
        assert state.shape == tensor.shape and state.dtype == tensor.dtype
