"""What an optimizer is fed in a check: a fixed sequence of gradients, and whatever else it needs.

A feed owns one tensor and its optimizer. `advance()` takes a step; `seen` collects what the paper is told of each step
(see `papers/`): a gradient, a gradient with evidence of the curvature, or a function of the parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optbench.checks.subject import Subject
from optbench.contracts import Batch, SumCount, Turn
from optbench.optimizers.core.build import requires_closure
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature

SAMPLES = 12  # terms of the mean loss that the scripted curvature claims


class GradientFeed:
    """Gradients of a drift with noise, whose size changes over the steps; the same for every optimizer."""

    DIRECT = True
    """Whether the optimizer sees the gradients as they are given."""
    SHAPES: tuple[tuple[int, ...], ...] = ((), (7,), (3, 5), (2, 3, 4), (4, 2, 3, 3))

    def __init__(
        self, subject: Subject, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> None:
        self.random = np.random.default_rng([seed, *shape])
        self.start = np.asarray(self.random.standard_normal(shape))
        self.drift = np.asarray(self.random.standard_normal(shape))
        self.theta = torch.tensor(self.start, dtype=dtype).requires_grad_()
        self.t = 0
        self.seen: list[Any] = []
        self.scale = 1.0
        self._prepare(subject)

    def _prepare(self, subject: Subject) -> None:
        self.optimizer = subject.build([self.theta])
        self.closed = requires_closure(self.optimizer)
        self.evidence: dict[str, Any] | None = None
        self.probes = hasattr(self.optimizer, "probe")
        if self.probes:
            self.optimizer.probe = self._probe

    def _probe(self, theta: Tensor) -> Tensor:
        """A probe from the feed's own numbers, on record."""
        probe = self.random.standard_normal(tuple(theta.shape))
        self.evidence = {"probe": probe}
        return torch.as_tensor(probe, dtype=theta.dtype)

    def gradient(self) -> np.ndarray:
        """The gradient of the next step."""
        self.t += 1
        size = self.scale * (1 + 0.5 * np.sin(self.t / 7))
        return np.asarray(size * (self.drift + self.random.standard_normal(self.drift.shape)))

    def give(self, gradient: np.ndarray) -> None:
        """Make it the gradient of the tensor."""
        self.theta.grad = torch.tensor(np.ascontiguousarray(gradient), dtype=self.theta.dtype).view_as(self.theta)

    def advance(self, gradient: np.ndarray | None = None) -> None:
        """One step of the optimizer, at the next gradient or at the one given."""
        gradient = self.gradient() if gradient is None else gradient
        self.evidence = None
        self.give(gradient)
        self.optimizer.step(*([lambda: torch.zeros(())] if self.closed else []))
        self.seen.append(self._told(gradient))

    def _told(self, gradient: np.ndarray) -> Any:
        return (gradient, self.evidence) if self.probes else gradient

    def values(self) -> np.ndarray:
        """A copy of the tensor as float64."""
        return self.theta.detach().double().numpy().copy()


class Oracle:
    """Answers about the curvature of a loss whose Hessian is a constant diagonal plus a coupling of all elements."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random, self.scale = random, 1.0
        self.evidence: dict[str, Any] | None = None

    def sampled_gradients(self, thetas: Sequence[Tensor]) -> tuple[list[Tensor], int]:
        """Gradients at sampled targets; that of the last tensor is on record."""
        answers = [np.asarray(self.scale * self.random.standard_normal(tuple(theta.shape))) for theta in thetas]
        self.evidence = {"sampled": answers[-1], "count": SAMPLES}
        return [torch.as_tensor(a, dtype=t.dtype) for a, t in zip(answers, thetas, strict=True)], SAMPLES

    def hessian_products(self, thetas: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Products with the vectors that the optimizer chose; the last of both is on record."""
        return [self._product(vector) for vector in vectors]

    def _product(self, vector: Tensor) -> Tensor:
        probe = vector.detach().double().numpy().copy()
        diagonal = 0.8 + np.cos(np.arange(probe.size)).reshape(probe.shape)  # some of it negative
        product = np.asarray(self.scale * (diagonal * probe + 0.1 * probe.mean()))
        self.evidence = {"probe": probe, "product": product}
        return torch.as_tensor(product, dtype=vector.dtype)


class CurvatureFeed(GradientFeed):
    """Gradients, and an oracle for the curvature."""

    def _prepare(self, subject: Subject) -> None:
        self.closed, self.probes = False, False
        self.oracle = Oracle(self.random)
        self.optimizer = subject.build([self.theta], curvature=self.oracle)

    def advance(self, gradient: np.ndarray | None = None) -> None:
        """One step; what the oracle was asked in it is on record."""
        self.oracle.scale, self.oracle.evidence, self.oracle.random = self.scale, None, self.random
        super().advance(gradient)

    def _told(self, gradient: np.ndarray) -> Any:
        return gradient, self.oracle.evidence


class ClosureFeed(GradientFeed):
    """A new quadratic in every step, which the optimizer may evaluate as often as it likes."""

    DIRECT = False

    def advance(self, gradient: np.ndarray | None = None) -> None:
        """One step; the closure's first call returns what is already there, as in a run."""
        centre = self.gradient() if gradient is None else gradient
        curvature = 0.2 + self.random.uniform(size=self.drift.shape)

        def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
            offset = theta - self.start + centre
            return float(0.5 * (curvature * offset**2).sum()), np.asarray(curvature * offset)

        def evaluate() -> Tensor:
            loss, slope = function(self.values())
            self.give(slope)
            return torch.tensor(loss, dtype=torch.float64)

        pending = [evaluate()]
        self.optimizer.step(lambda: pending.pop() if pending else evaluate())
        self.seen.append(function)

    def _prepare(self, subject: Subject) -> None:
        self.closed, self.probes, self.evidence = True, False, None
        self.optimizer = subject.build([self.theta])


class LayerFeed(GradientFeed):
    """A linear layer (out, in + 1) and its bias: fixed inputs and gradients of outputs, for rules that see both."""

    DIRECT = False
    SHAPES = ((3, 5), (4, 3))

    def _prepare(self, subject: Subject) -> None:
        self.closed, self.probes, self.evidence = False, False, None
        rows, columns = self.start.shape
        self.layer = nn.Linear(columns - 1, rows).to(self.theta.dtype)
        with torch.no_grad():
            self.layer.weight.copy_(self.theta[:, :-1])
            self.layer.bias.copy_(self.theta[:, -1])
        self.oracle = BatchCurvature(self.layer, Clock(), contextlib.nullcontext(), None)
        self.optimizer = subject.build([self.layer.weight, self.layer.bias], {"": self.layer}, self.oracle)

    def advance(self, gradient: np.ndarray | None = None) -> None:
        """One forward and backward of a batch, and a step; its targets pass for sampled ones too."""
        rows, columns = self.start.shape
        inputs = self.random.standard_normal((SAMPLES, columns - 1))
        outward = self.scale * (self.random.standard_normal((SAMPLES, rows)) + self.drift[:, 0])
        batch = {"inputs": self._tensor(inputs), "outward": self._tensor(outward)}
        self.oracle.turn = Turn("model", batch, self._loss, self._loss)
        self.optimizer.zero_grad()
        total, count = self._loss(batch)
        (total / count).backward()
        self.optimizer.step()
        self.seen.append((inputs, outward))

    def _loss(self, batch: Batch) -> SumCount:
        """A loss whose gradient in the outputs is as the batch says."""
        return (self.layer(batch["inputs"]) * batch["outward"]).sum(), SAMPLES

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=self.theta.dtype)

    def values(self) -> np.ndarray:
        """Weight and bias side by side."""
        joined = torch.cat([self.layer.weight, self.layer.bias[:, None]], 1)
        return joined.detach().double().numpy().copy()


FEEDS = {"curvature": CurvatureFeed, "closure": ClosureFeed, "modules": LayerFeed}


def feed_of(subject: Subject) -> type[GradientFeed]:
    """The feed that gives a subject what it needs."""
    return next((FEEDS[need] for need in subject.needs if need in FEEDS), GradientFeed)
