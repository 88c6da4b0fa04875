"""pytorch_optimizer's SCION: the norm and the radius of every kind of parameter are ours."""

from __future__ import annotations

import pytest
import torch

from optbench import config
from optbench.config import imports
from optbench.contracts import Parameter, Problem
from optbench.errors import ConfigError
from optbench.optimizers.core.build import build

pytest.importorskip("pytorch_optimizer")

SHAPES = {"first": (6, 4), "embedding": (7, 4), "matrix": (4, 6), "convolution": (4, 2, 3, 3), "head": (5, 4)}
SHAPES |= {"norm": (4,), "bias": (5,)}
STEPS = 5
BFLOAT16 = 0.01  # of a parameter's displacement: the iteration of the spectral norm, and the factors after it


def displacements(impl: str, *settings: str, **shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return how far each parameter moves in some steps, by role."""
    loaded = config.load(["optimizer=scion", f"optimizer.impl={impl}", *settings]).optimizer
    generator = torch.Generator().manual_seed(0)
    thetas = {role: torch.randn(shape, generator=generator) for role, shape in (shapes or SHAPES).items()}
    before = {role: theta.clone() for role, theta in thetas.items()}
    problem = Problem(tuple(Parameter(role, theta.requires_grad_(), role) for role, theta in thetas.items()))
    optimizer = build(imports.load(loaded.target), loaded.settings, loaded.implementation, problem, [])
    for _ in range(STEPS):
        for theta in thetas.values():
            theta.grad = torch.randn(theta.shape, generator=generator)
        optimizer.step()
    return {role: theta.detach() - before[role] for role, theta in thetas.items()}


def distances(*settings: str) -> dict[str, float]:
    """Return the distance of theirs from ours by role, as a share of the displacement."""
    ours, theirs = (displacements(impl, *settings) for impl in ("optbench", "pytorch_optimizer"))
    return {role: float((theirs[role] - moved).norm() / moved.norm()) for role, moved in ours.items()}


@pytest.mark.parametrize("norm", ["sign", "column", "row", "spectral", "head"])
def test_an_embeddings_norm_is_ours(norm: str) -> None:
    found = distances(f"optimizer.embedding_norm={norm}", "optimizer.constrained=false")
    assert found["embedding"] < (BFLOAT16 if norm == "spectral" else 1e-4)
    assert max(found.values()) < BFLOAT16


@pytest.mark.parametrize("norm", ["sign", "column", "row", "spectral"])
def test_a_heads_norm_is_ours(norm: str) -> None:
    found = distances(f"optimizer.head_norm={norm}")
    assert found["head"] < (BFLOAT16 if norm == "spectral" else 1e-4)
    assert max(found[role] for role in ("norm", "bias")) < 1e-4


def test_radii_are_ours() -> None:
    radii = ("radius=3.0", "embedding_radius=5.0", "head_radius=70.0")
    assert max(distances(*(f"optimizer.{radius}" for radius in radii)).values()) < BFLOAT16


def test_the_iterations_steps_are_ours() -> None:
    assert max(distances("optimizer.ns_steps=2").values()) < BFLOAT16


@pytest.mark.parametrize(
    ("setting", "role", "shape"),
    [
        ("hidden_norm=sign", "convolution", (4, 2, 3, 3)),  # it would divide by the channels alone
        ("embedding_norm=row", "embedding", (1, 7, 4)),
        ("embedding_norm=spectral", "embedding", (1, 7, 4)),
        ("head_norm=sign", "norm", (2, 4)),  # its root mean square would be a column's
    ],
)
def test_a_norm_that_is_not_ours_there_is_refused(setting: str, role: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=f"another norm than ours for {role}, with {len(shape)} dimensions"):
        displacements("pytorch_optimizer", f"optimizer.{setting}", **{role: shape})


def test_convolutions_in_channels_last_are_accepted() -> None:
    loaded = config.load(["optimizer=scion", "optimizer.impl=pytorch_optimizer"]).optimizer
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        start = torch.randn((4, 2, 3, 3), generator=torch.Generator().manual_seed(0))
        theta = start.clone().to(memory_format=layout).requires_grad_()
        problem = Problem((Parameter("theta", theta, "convolution"),))
        optimizer = build(imports.load(loaded.target), loaded.settings, loaded.implementation, problem, [])
        theta.grad = start.square().to(memory_format=layout)
        optimizer.step()
        moved.append(theta.detach() - start)
    assert torch.allclose(*moved, rtol=1e-3, atol=0)
