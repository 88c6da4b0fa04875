"""Training steps as CUDA graphs: forward, backward, clip and optimizer are recorded once, then replayed by one call.

A small network is bound by the host, which needs longer to launch kernels than the device to run them. A graph replays
the same kernels on the same memory. So the batch is copied to where the graph reads it, the learning rate is a tensor,
and what Python decides in a step is decided once: cuda_graph=true takes only tasks, optimizers and clips that are
declared to decide nothing (`capturable`).

The first steps, and those with measurements for a record, are taken as usual, on the same memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch

from optbench.config import Choice, RunConfig
from optbench.config.notices import say_once
from optbench.contracts import Batch, Task, Turn
from optbench.errors import ConfigError, first_line, is_out_of_memory
from optbench.optimizers.core.graph_numbers import GraphNumbers
from optbench.optimizers.core.interface import Optimizer
from optbench.optimizers.core.rates import set_rates
from optbench.training.clock import FORWARD, OPTIMIZER
from optbench.training.player import ActivePlayer

USUAL_STEPS = 3  # of each shape before it is captured: they make optimizer state, choose kernels, compile
WAY_OUT = "Use cuda_graph=false"

Shape = tuple[tuple[str, tuple[int, ...], torch.dtype], ...]


@dataclass(frozen=True)
class StepGraph:
    """The graph of a step: the batch that it reads, and the call that replays it."""

    batch: Batch
    replay: Callable[[], None]


class GraphedPlayer(ActivePlayer):
    """Takes its steps by a CUDA graph, for batches of the shape that comes first often enough."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._graph: StepGraph | None = None
        self._usual: Counter[Shape] = Counter()
        """The usual steps so far, by the shape of their batch."""

    def step(self, turn: Turn, factor: float, measure: bool) -> None:
        """Take one optimizer step: replay the graph, except in the first steps and in those with measurements."""
        if self.gradients_together is not None:
            say_once("cuda_graph=true has no effect in a pack (--pack), whose runs share the steps of their networks")
            super().step(turn, factor, measure)
            return
        if not self._usual:  # now, since a checkpoint replaces the learning rates
            make_capturable(self.optimizer, self.device)
        shape = shape_of(turn.batch)
        fits = self._graph is None or shape_of(self._graph.batch) == shape
        if fits and self._usual[shape] >= USUAL_STEPS and not measure:
            self._replay(turn, factor)
            return
        self._usual[shape] += 1
        with side_stream(self.device) if self._graph is None else nullcontext():
            super().step(turn, factor, measure)

    def _replay(self, turn: Turn, factor: float) -> None:
        """Take a step by the graph. Its time counts as the forward pass: a graph has no boundaries of phases."""
        self.clock.to(OPTIMIZER)
        set_rates(self.optimizer, self.peaks, factor)
        getattr(self.optimizer, "advance", lambda: None)()
        if self._graph is None:
            self._graph = self._captured(turn)
        self.clock.to(FORWARD)
        for name, tensor in turn.batch.items():
            self._graph.batch[name].copy_(tensor)
        self._graph.replay()
        self.steps += 1
        self.gradient_evaluations += 1

    def _captured(self, turn: Turn) -> StepGraph:
        """Return the graph of this step, which is not taken. Raises ConfigError where it cannot be captured."""
        batch = {name: tensor.clone() for name, tensor in turn.batch.items()}
        steps, numbers = self.steps, getattr(self.optimizer, "graph_numbers", None)
        try:
            with self.unmeasured(), numbers.capture() if numbers is not None else nullcontext():
                replay = capture(lambda: self.take(replace(turn, batch=batch), measure=False), self.device)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(f"cuda_graph=true: the step cannot be captured: {first_line(error)}", WAY_OUT) from error
        finally:
            self.steps = steps
        return StepGraph(batch, replay)


def shape_of(batch: Batch) -> Shape:
    """Return names, shapes and types of a batch: a graph fits those that it was captured with."""
    return tuple((name, tuple(tensor.shape), tensor.dtype) for name, tensor in sorted(batch.items()))


def make_capturable(optimizer: Optimizer, device: torch.device) -> None:
    """Keep the learning rates on the device, where a graph reads them, and tell torch's optimizers of the capture.

    A rule of optbench has all its numbers there."""
    if hasattr(optimizer, "graph_numbers"):
        optimizer.graph_numbers = GraphNumbers()  # pyright: ignore[reportAttributeAccessIssue]
        return
    for group in optimizer.param_groups:
        if "lr" in group:
            group["lr"] = torch.full((), float(group["lr"]), dtype=torch.float32, device=device)
        if "capturable" in group:
            group["capturable"] = True
    optimizer._warned_capturable_if_run_uncaptured = True  # type: ignore[attr-defined]  # some steps are not captured


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Work on another stream within a block, as torch wants it before a capture."""
    stream, usual = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(usual)
    with torch.cuda.stream(stream):
        yield
    usual.wait_stream(stream)


def capture(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return the call that repeats the kernels of `work`, which are recorded here and do not run yet."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay


# -- which runs can be captured ----------------------------------------------------------------------------------------


def check_capturable(
    config: RunConfig, choice: Choice, optimizer: Optimizer, task: Task, device: torch.device, *, alone: bool
) -> None:
    """Raise ConfigError with the reason if a player's steps cannot be captured."""
    if device.type != "cuda":
        raise ConfigError("cuda_graph=true needs device=cuda", WAY_OUT)
    for key, reason in obstacles(config, choice, optimizer, task, alone):
        raise ConfigError(f"cuda_graph=true: {key} cannot be captured: {reason}", WAY_OUT)


def obstacles(
    config: RunConfig, choice: Choice, optimizer: Optimizer, task: Task, alone: bool
) -> Iterator[tuple[str, str]]:
    """Yield every setting that prevents the capture of a player's steps, with the reason; `alone`: on one rank."""
    needs = choice.about.get("needs", [])
    if needs:
        yield f"optimizer={choice.name}", f"it needs {', '.join(needs)}, for which Python takes part in every step"
    if choice.implementation.get("capturable") is not True and not getattr(type(optimizer), "capturable", False):
        impl = f" optimizer.impl={choice.settings['impl']}" if "impl" in choice.settings else ""
        yield f"optimizer={choice.name}{impl}", "it is not declared to decide nothing on the host (about.capturable)"
    if config.clip.about.get("capturable") is not True:
        yield f"clip={config.clip.name}", "it is not declared to decide nothing on the host (about.capturable)"
    if getattr(task, "capturable", False) is not True:
        yield f"task={config.task_name}", "it is not declared to decide nothing on the host (capturable = True)"
    for modifier in config.modifiers:
        if modifier.about.get("capturable") is not True:
            wanted = ", ".join(modifier.about.get("needs", ()))
            reason = f"it needs {wanted}, for which Python takes part in every step" if wanted else ""
            yield f"{modifier.name}=true", reason or "it counts its steps on the host"
    settings = {
        "precision=fp16": (config.precision == "fp16", "the host decides which steps are skipped; use precision=bf16"),
        "micro_batch=auto": (config.micro_batch == "auto", "it is measured without the graph; give a number"),
        "a run on several ranks": (not alone, "the exchange between them is not"),
    }
    yield from ((key, reason) for key, (active, reason) in settings.items() if active)
