"""The one training loop: a generator of Records. It knows nothing of files, trackers or terminals."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from optbench import env
from optbench.clock import COMPILE, DATA, EVALUATION, LOGGING, OTHER, Clock, step_milliseconds
from optbench.contracts import Batch, DataSet, Task
from optbench.optimizers.eval_weights import batch_norms, eval_weights, evaluating
from optbench.players import ActivePlayer
from optbench.records import Record, Split, Status

REFRESH_BATCHES = 20  # training batches that re-estimate batch statistics for borrowed weights


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The numbers of a run that the loop obeys; their meanings stand in conf/root/run.yaml."""

    steps: int
    batch_size: int
    eval_every: int
    eval_batch_size: int
    eval_train_samples: int
    record_every: int
    target: float | None
    stop_at_target: bool
    max_seconds: float | None
    compile: bool


@dataclass
class Progress:
    """Where a run stands: everything of the loop that a checkpoint keeps besides players and random state."""

    step: int = 0
    samples: int = 0
    evaluated_step: int = -1
    latest: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    reached: dict[str, float] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    status: str = Status.COMPLETED.value
    reason: str = ""
    flops_per_step: int | None = None
    recorded_samples: int = 0
    recorded_train_seconds: float = 0.0


class Trainer:
    """Trains the players of a task. Iterate over `records()`; then `at` holds status, reason and final values."""

    def __init__(
        self,
        plan: Plan,
        task: Task,
        data: DataSet,
        players: Mapping[str, ActivePlayer],
        factor: Callable[[int], float],
        *,
        device: torch.device,
        clock: Clock,
        on_step: Callable[[Trainer], None] = lambda trainer: None,
    ) -> None:
        self.plan, self.task, self.data, self.players = plan, task, data, players
        self.factor, self.device, self.clock, self.on_step = factor, device, clock, on_step
        self.at = Progress()

    # -- the loop ----------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """Train to the end of the budget, or to the run's end by target, time or divergence."""
        self.clock.begin()
        for module in self.modules:
            module.train()
        self.clock.to(DATA)
        batches = self.data.train_batches(self.plan.batch_size, self.at.step)
        try:
            yield from self._loop(self._warmed_up(batches))
        finally:
            getattr(batches, "close", lambda: None)()  # stops a loader's workers
        if self.at.status != Status.DIVERGED and not self.at.final:
            yield from self._last_evaluations()
        self.clock.to(OTHER)
        self.clock.resolve()

    def _loop(self, batches: Iterator[Batch]) -> Iterator[Record]:
        plan, at, clock = self.plan, self.at, self.clock
        while at.step < plan.steps and self.at.status == Status.COMPLETED:
            clock.to(DATA)
            batch = next(batches)
            recording = (at.step + 1) % plan.record_every == 0 or at.step + 1 == plan.steps
            factor = self.factor(at.step)
            for turn in self.task.turns(batch):
                self.players[turn.player].step(turn, factor, recording)
                self.task.after_step(at.step)
            clock.to(OTHER)
            clock.end_step()
            at.step += 1
            at.samples += plan.batch_size
            if recording:
                yield self._train_record()
            if self.at.status == Status.COMPLETED and (at.step % plan.eval_every == 0 or at.step == plan.steps):
                yield self._validation_record()
            self._check_time()
            if self.at.status == Status.COMPLETED:  # an ended run is not to be resumed
                self.on_step(self)

    def _check_time(self) -> None:
        limit, done = self.plan.max_seconds, self.at.step >= self.plan.steps
        if limit is not None and not done and self.at.status == Status.COMPLETED and self.clock.wall_seconds >= limit:
            self._end(
                Status.TIMED_OUT, f"max_seconds={limit:g} were over after {self.at.step} of {self.plan.steps} steps"
            )

    def _end(self, status: Status, reason: str) -> None:
        self.at.status, self.at.reason = status.value, reason

    def _warmed_up(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Compile what is to be compiled and count FLOPs on the first batch; training is not touched."""
        if self.at.step >= self.plan.steps:
            return batches
        first = next(batches)
        self.clock.to(COMPILE)
        for player in self.players.values():
            getattr(player.optimizer, "warm_up", lambda: None)()
        if self.at.flops_per_step is None:
            self.at.flops_per_step = self._flops_per_step(first)
        if self.plan.compile:
            for module in self.modules:
                module.compile()
            self._dry_step(first)
            self._dry_evaluation()
        return itertools.chain([first], batches)

    def _dry_step(self, batch: Batch) -> None:
        """Forward and backward of a batch without a trace: no update, no count, no phase but the current one."""
        with env.preserved(self.modules, self.device):
            for turn in self.task.turns(batch):
                player = self.players[turn.player]
                player.clock, clock = Clock(), player.clock
                player.gradients(turn)
                player.clock = clock
                player.gradient_evaluations -= 1
                for parameter in player.parameters:
                    parameter.grad = None

    def _dry_evaluation(self) -> None:
        """Evaluate one batch for nothing: compiled code for evaluation is made here, not in the first evaluation."""
        size = self.plan.eval_batch_size
        with evaluating(self.modules), torch.no_grad(), next(iter(self.players.values())).autocast:
            for batch in self.data.eval_batches(str(Split.VALIDATION), size, size):
                self.task.evaluate(batch)

    def _flops_per_step(self, batch: Batch) -> int | None:
        """Floating-point operations of forward and backward of one batch; None where the counter cannot follow."""
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        try:
            with counter:
                self._dry_step(batch)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the counter knows no formula for some operator
            return None
        return counter.get_total_flops() or None

    # -- records -----------------------------------------------------------------------------------------------------

    def _train_record(self) -> Record:
        self.clock.to(LOGGING)
        self.clock.resolve()
        values: dict[str, float | int | None] = {}
        for name, player in self.players.items():
            prefix = "" if len(self.players) == 1 else f"{name}_"
            measured = player.values()
            values |= {prefix + key: value for key, value in measured.items()}
            self._check_diverged(measured["train_loss"], prefix)
        return self._record(Split.TRAIN, values | self._speed() | self._memory())

    def _check_diverged(self, loss: Any, prefix: str) -> None:
        reason = self.task.diverged(loss)
        if reason:
            self._end(Status.DIVERGED, f"{prefix}{reason} at step {self.at.step}")

    def _speed(self) -> dict[str, float | None]:
        samples = self.at.samples - self.at.recorded_samples
        seconds = self.clock.train_seconds - self.at.recorded_train_seconds
        recent = self.clock.step_seconds[-max(1, samples // self.plan.batch_size) :]
        self.at.recorded_samples, self.at.recorded_train_seconds = self.at.samples, self.clock.train_seconds
        return {"samples_per_second": samples / seconds if seconds > 0 else None, **step_milliseconds(recent)}

    def _memory(self) -> dict[str, int | None]:
        if self.device.type != "cuda":
            return {"resident_bytes": env.resident_peak_bytes()}
        return {
            "peak_allocated_bytes": torch.cuda.max_memory_allocated(self.device),
            "peak_reserved_bytes": torch.cuda.max_memory_reserved(self.device),
        }

    def _record(self, split: Split, values: Mapping[str, float | int | None]) -> Record:
        evaluations = sum(player.gradient_evaluations for player in self.players.values())
        return Record(
            step=self.at.step,
            samples=self.at.samples,
            gradient_evaluations=evaluations,
            split=split,
            train_seconds=self.clock.train_seconds,
            wall_seconds=self.clock.wall_seconds,
            values=values,
        )

    def _validation_record(self) -> Record:
        loss, metric = self.evaluate(Split.VALIDATION)
        self.at.evaluated_step = self.at.step
        self.at.latest = {"val_loss": loss, "val_metric": metric}
        if not self.at.best or self._better(metric, self.at.best["val_metric"]):
            self.at.best = {"step": self.at.step, **self.at.latest}
        target = self.plan.target
        if target is not None and not self.at.reached and not self._better(target, metric):
            self.at.reached = {
                "step": self.at.step,
                "samples": self.at.samples,
                "train_seconds": self.clock.train_seconds,
            }
            if self.plan.stop_at_target:
                reason = f"validation {self.task.metric} reached {target:g} at step {self.at.step}"
                self._end(Status.STOPPED_AT_TARGET, reason)
        return self._record(Split.VALIDATION, self.at.latest)

    def _better(self, a: float, b: float) -> bool:
        """Whether metric a beats b; a nan beats nothing, and everything else beats it."""
        if b != b:
            return a == a
        return a > b if self.task.direction == "max" else a < b

    def _last_evaluations(self) -> Iterator[Record]:
        if self.at.evaluated_step != self.at.step:  # the time was over between two evaluations
            yield self._validation_record()
        clean = self.evaluate(Split.TRAIN_CLEAN, self.plan.eval_train_samples)
        yield self._record(Split.TRAIN_CLEAN, {"train_clean_loss": clean[0], "train_clean_metric": clean[1]})
        test = self.evaluate(Split.TEST)
        yield self._record(Split.TEST, {"test_loss": test[0], "test_metric": test[1]})
        self.at.final = {
            **self.at.latest,
            "test_loss": test[0],
            "test_metric": test[1],
            "train_loss": clean[0],
            "train_metric": clean[1],
        }

    # -- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, split: Split, limit: int | None = None) -> tuple[float, float]:
        """Mean loss and metric over a split, at the weights that the optimizers lend."""
        self.clock.to(EVALUATION)
        source = "train" if split is Split.TRAIN_CLEAN else str(split)
        sums: dict[str, Any] = {"loss": 0.0, "metric": 0.0}
        counts: dict[str, Any] = {"loss": 0, "metric": 0}
        with ExitStack() as stack:
            for player in self.players.values():
                stack.enter_context(eval_weights(player.optimizer, player.module, self._refresh_statistics))
            stack.enter_context(evaluating(self.modules))
            stack.enter_context(torch.no_grad())
            stack.enter_context(next(iter(self.players.values())).autocast)
            for batch in self.data.eval_batches(source, self.plan.eval_batch_size, limit):
                for name, (total, count) in self.task.evaluate(batch).items():
                    sums[name], counts[name] = sums[name] + total, counts[name] + count
            means = {name: float(sums[name]) / float(counts[name]) for name in sums}
        self.clock.to(LOGGING)
        self.clock.resolve()
        return means["loss"], means["metric"]

    @torch.no_grad()
    def _refresh_statistics(self, module: nn.Module) -> None:
        """Batch statistics for borrowed weights, from a fixed set of training samples as in evaluation."""
        state = env.torch_random_state(self.device)
        norms = batch_norms(module)
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        limit = REFRESH_BATCHES * self.plan.batch_size
        for batch in self.data.eval_batches("train", self.plan.batch_size, limit):
            self.task.evaluate(batch)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        env.restore_torch_random_state(state, self.device)

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> list[nn.Module]:
        """The players' networks."""
        return [player.module for player in self.players.values()]

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit; plain values and tensors only."""
        return {
            "progress": dict(vars(self.at)),
            "clock": self.clock.state_dict(),
            "random": env.random_state(self.device),
            "players": {name: player.state_dict() for name, player in self.players.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.at = Progress(**state["progress"])
        self.clock.load_state_dict(state["clock"])
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        env.restore_random_state(state["random"], self.device)

    def weights_sha256(self) -> str:
        """Hash of every player's weights and buffers, by name."""
        digest = hashlib.sha256()
        for player, active in sorted(self.players.items()):
            for name, tensor in sorted(active.module.state_dict().items()):
                digest.update(f"{player}.{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
