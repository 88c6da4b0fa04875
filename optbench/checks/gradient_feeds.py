"""The inputs of an optimizer in a check: a fixed sequence of gradients, and whatever else it needs.

A feed owns one tensor and its optimizer. `advance()` takes a step and adds what the paper's rule receives for it to
`paper_steps` (see `papers/`): a gradient, a gradient with evidence of the curvature, or a function of the parameters.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from optbench.checks.papers import Array, Evidence, Function
from optbench.checks.scripted_curvature import SAMPLES, ScriptedCurvature
from optbench.checks.subject import Subject
from optbench.contracts import Batch, SumCount, Turn
from optbench.optimizers.core.interface import requires_closure
from optbench.optimizers.core.rates import peak_rates, set_rates
from optbench.training.clock import Clock
from optbench.training.curvature import BatchCurvature

PaperStep = Array | tuple[Array, Evidence | None] | tuple[Array, Array] | Function
"""The inputs of a paper's rule for one step."""


class GradientFeed:
    """Gradients with a drift, noise and a slowly changing size; the same for every optimizer."""

    SETS_GRADIENTS = True
    """True if the optimizer reads gradients that are set before `step`, not through a closure or layers."""
    SHAPES: tuple[tuple[int, ...], ...] = ((), (7,), (3, 5), (2, 3, 4), (4, 2, 3, 3))

    def __init__(
        self, subject: Subject, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0
    ) -> None:
        self.random = np.random.default_rng([seed, *shape])
        self.start = np.asarray(self.random.standard_normal(shape))
        self.drift = np.asarray(self.random.standard_normal(shape))
        self.theta = torch.tensor(self.start, dtype=dtype).requires_grad_()
        self.t = 0
        self.scale = 1.0
        self.paper_steps: list[PaperStep] = []
        self.optimizer = self._build(subject)
        self.peaks = peak_rates(self.optimizer)

    def _build(self, subject: Subject) -> Any:
        optimizer = subject.build([self.theta])
        draws = bool(subject.fact("draws_probes", False))
        self.has_probes = draws or hasattr(optimizer, "probe")
        self.evidence: Evidence | None = None
        if draws:
            optimizer.step = drawing(optimizer.step, self._probe)
        elif self.has_probes:
            optimizer.probe = self._probe
        return optimizer

    def _probe(self, theta: Tensor) -> Tensor:
        """Draw a probe from the feed's random numbers and record it."""
        probe = self.random.standard_normal(tuple(theta.shape))
        self.evidence = {"probe": probe}
        return torch.tensor(probe, dtype=theta.dtype)  # a copy: an optimizer may keep it as its state

    @property
    def has_rates(self) -> bool:
        """True if a schedule can scale the steps."""
        return any(peak is not None for peak in self.peaks)

    def set_rates(self, factor: float) -> None:
        """Set the learning rates to a share of their peaks, as a run's schedule does before a step."""
        set_rates(self.optimizer, self.peaks, factor)

    def next_gradient(self) -> Array:
        """Return the gradient of the next step."""
        self.t += 1
        size = self.scale * (1 + 0.5 * np.sin(self.t / 7))
        return np.asarray(size * (self.drift + self.random.standard_normal(self.drift.shape)))

    def set_gradient(self, gradient: Array) -> None:
        """Make this the gradient of the tensor."""
        self.theta.grad = torch.tensor(np.ascontiguousarray(gradient), dtype=self.theta.dtype).view_as(self.theta)

    def advance(self, gradient: Array | None = None) -> None:
        """Take one step with this gradient; by default with the next one."""
        gradient = self.next_gradient() if gradient is None else gradient
        self.evidence = None
        self.set_gradient(gradient)
        step(self.optimizer)
        self.paper_steps.append(self._paper_step(gradient))

    def _paper_step(self, gradient: Array) -> PaperStep:
        return (gradient, self.evidence) if self.has_probes else gradient

    def values(self) -> Array:
        """Return a copy of the tensor as float64."""
        return self.theta.detach().double().numpy().copy()


class Draws(TorchFunctionMode):
    """Answers `torch.randn_like` by a function of the tensor, for an optimizer that draws its probes itself."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.draw = draw

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Draw, or call any other function of torch."""
        given = kwargs or {}
        return self.draw(args[0]).to(given.get("dtype")) if func is torch.randn_like else func(*args, **given)


def drawing(take_step: Callable[..., Any], draw: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Return `step` of an optimizer whose probes come from `draw`."""

    @functools.wraps(take_step)
    def stepped(*arguments: Any) -> Any:
        with Draws(draw):
            return take_step(*arguments)

    return stepped


class CurvatureFeed(GradientFeed):
    """Gradients and curvature."""

    def _build(self, subject: Subject) -> Any:
        self.curvature = ScriptedCurvature(self.random)
        return subject.build([self.theta], curvature=self.curvature)

    def advance(self, gradient: Array | None = None) -> None:
        """Take one step and record what the optimizer asks about the curvature."""
        self.curvature.scale, self.curvature.evidence, self.curvature.random = self.scale, None, self.random
        super().advance(gradient)

    def _paper_step(self, gradient: Array) -> PaperStep:
        return gradient, self.curvature.evidence


class ClosureFeed(GradientFeed):
    """A new quadratic in every step, which the optimizer may evaluate any number of times."""

    SETS_GRADIENTS = False

    def _build(self, subject: Subject) -> Any:
        return subject.build([self.theta])

    def advance(self, gradient: Array | None = None) -> None:
        """Take one step; as in a run, the closure's first call returns an earlier evaluation."""
        centre = self.next_gradient() if gradient is None else gradient
        curvature = 0.2 + self.random.uniform(size=self.drift.shape)

        def function(theta: Array) -> tuple[float, Array]:
            offset = theta - self.start + centre
            return float(0.5 * (curvature * offset**2).sum()), np.asarray(curvature * offset)

        def evaluate() -> Tensor:
            loss, slope = function(self.values())
            self.set_gradient(slope)
            return torch.tensor(loss, dtype=torch.float64)

        pending = [evaluate()]
        self.optimizer.step(lambda: pending.pop() if pending else evaluate())
        self.paper_steps.append(function)


class LayerFeed(GradientFeed):
    """A linear layer (out, in + 1), bias included, with fixed inputs and output gradients: for rules that read both."""

    SETS_GRADIENTS = False
    SHAPES = ((3, 5), (4, 3))

    def _build(self, subject: Subject) -> Any:
        rows, columns = self.start.shape
        self.layer = nn.Linear(columns - 1, rows).to(self.theta.dtype)
        with torch.no_grad():
            self.layer.weight.copy_(self.theta[:, :-1])
            self.layer.bias.copy_(self.theta[:, -1])
        self.curvature = BatchCurvature(self.layer, Clock(), contextlib.nullcontext(), None)
        return subject.build([self.layer.weight, self.layer.bias], {"": self.layer}, self.curvature)

    def advance(self, gradient: Array | None = None) -> None:
        """Run forward and backward on one batch and take a step; sampled targets are the batch's own."""
        rows, columns = self.start.shape
        inputs = self.random.standard_normal((SAMPLES, columns - 1))
        output_gradients = self.scale * (self.random.standard_normal((SAMPLES, rows)) + self.drift[:, 0])
        batch = {"inputs": self._tensor(inputs), "output_gradients": self._tensor(output_gradients)}
        self.curvature.turn = Turn("model", batch, self._loss, self._loss)
        self.optimizer.zero_grad()
        total, count = self._loss(batch)
        (total / count).backward()
        self.optimizer.step()
        self.paper_steps.append((inputs, output_gradients))

    def _loss(self, batch: Batch) -> SumCount:
        """Return a loss whose gradient in the outputs is batch["output_gradients"]."""
        return (self.layer(batch["inputs"]) * batch["output_gradients"]).sum(), SAMPLES

    def _tensor(self, values: Array) -> Tensor:
        return torch.tensor(values, dtype=self.theta.dtype)

    def values(self) -> Array:
        """Return a copy of weight and bias, side by side, as float64."""
        joined = torch.cat([self.layer.weight, self.layer.bias[:, None]], 1)
        return joined.detach().double().numpy().copy()


FEEDS = {"curvature": CurvatureFeed, "closure": ClosureFeed, "modules": LayerFeed}


def feed_type(subject: Subject) -> type[GradientFeed]:
    """Return the class of feed that provides what a subject needs."""
    return next((FEEDS[need] for need in subject.needs if need in FEEDS), GradientFeed)


def step(optimizer: Any) -> None:
    """Take a step with the gradients already set, with a dummy closure if `step` requires one."""
    optimizer.step(*([lambda: torch.zeros(())] if requires_closure(optimizer) else []))
