"""The one training loop: a generator of Records. It knows nothing of files, trackers or terminals."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from optbench.contracts import Batch, DataSet, Task, Turn
from optbench.records import Record, Split, Status
from optbench.training.attention import Watch
from optbench.training.clock import COMPILE, DATA, EVALUATION, LOGGING, OTHER, Clock, step_milliseconds
from optbench.training.evaluation import Evaluator
from optbench.training.memory import resident_peak_bytes
from optbench.training.parallel import Communicator
from optbench.training.player import ActivePlayer
from optbench.training.seeding import preserve_state, random_state, restore_random_state


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
    attention: list[str] | None = None
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
        comm: Communicator | None = None,
    ) -> None:
        self.plan, self.task, self.data, self.players = plan, task, data, players
        self.factor, self.device, self.clock, self.on_step = factor, device, clock, on_step
        self.comm = comm
        self.at = Progress()
        self.evaluator = Evaluator(
            task,
            data,
            players,
            batch_size=plan.eval_batch_size,
            refresh_batch_size=plan.batch_size,
            device=device,
            comm=comm,
        )

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
            self.take_turns(batch, recording)
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

    def take_turns(self, batch: Batch, recording: bool) -> None:
        """Every optimizer step that the task takes on a batch at the present step."""
        factor = self.factor(self.at.step)
        for turn in self._turns(batch, self.at.step):
            self.players[turn.player].step(turn, factor, recording)
            self.task.after_step(self.at.step)

    def _turns(self, batch: Batch, step: int) -> Iterable[Turn]:
        """The turns of a step; of several ranks each takes its share of every one."""
        if self.comm is None:
            return self.task.turns(batch, step)
        self.comm.begin_step(step)
        return (replace(turn, batch=self.comm.local_batch(turn.batch)) for turn in self.task.turns(batch, step))

    def _check_time(self) -> None:
        limit, done = self.plan.max_seconds, self.at.step >= self.plan.steps
        if limit is None or done or self.at.status != Status.COMPLETED:
            return
        over = self.clock.wall_seconds >= limit
        if self.comm is not None:
            over = self.comm.broadcast(over)
        if over:
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
        if self.at.attention is None:
            with Watch() as watch:
                self.at.flops_per_step = self._flops_per_step(first)
            self.at.attention = sorted(watch.kernels)
        if self.plan.compile:
            for module in self.modules:
                module.compile()
            self.dry_step(first)
            self.evaluator.rehearse(str(Split.VALIDATION))
        return itertools.chain([first], batches)

    def dry_step(self, batch: Batch) -> None:
        """Forward and backward of a batch without a trace: no update, no count, no phase but the current one."""
        with preserve_state(self.modules, self.device):
            for turn in self._turns(batch, 0):
                player = self.players[turn.player]
                clock, evaluations = player.clock, player.gradient_evaluations
                player.clock = Clock()
                try:
                    player.gradients(turn)
                finally:  # the counter of operations may have raised
                    player.clock, player.gradient_evaluations = clock, evaluations
                    player.forget_gradients()

    def _flops_per_step(self, batch: Batch) -> int | None:
        """Floating-point operations of forward and backward of one batch; None where the counter cannot follow."""
        from torch.utils.flop_counter import FlopCounterMode

        counter = FlopCounterMode(display=False)
        try:
            with counter:
                self.dry_step(batch)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the counter knows no formula for some operator
            return None
        flops = counter.get_total_flops()
        return (flops if self.comm is None else int(self.comm.sum_scalars(flops)[0])) or None

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
        return self._record(Split.TRAIN, values | self.task.measures() | self._speed() | self._memory())

    def _check_diverged(self, loss: Any, prefix: str) -> None:
        reason = self.task.diverged(loss) if loss is not None else ""
        if reason:
            self._end(Status.DIVERGED, f"{prefix}{reason} at step {self.at.step}")

    def _speed(self) -> dict[str, float | None]:
        samples = self.at.samples - self.at.recorded_samples
        seconds = self.clock.train_seconds - self.at.recorded_train_seconds
        recent = self.clock.step_seconds[-max(1, samples // self.plan.batch_size) :]
        self.at.recorded_samples, self.at.recorded_train_seconds = self.at.samples, self.clock.train_seconds
        rate = samples / seconds if seconds > 0 else None
        tokens = self.data.tokens_per_sample
        text = {"tokens_per_second": rate * tokens if rate else None} if tokens else {}
        return {"samples_per_second": rate, **text, **step_milliseconds(recent)}

    def _memory(self) -> dict[str, int | None]:
        if self.device.type != "cuda":
            return {"resident_bytes": resident_peak_bytes()}
        return {
            "peak_allocated_bytes": torch.cuda.max_memory_allocated(self.device),
            "peak_reserved_bytes": torch.cuda.max_memory_reserved(self.device),
        }

    def _record(
        self, split: Split, values: Mapping[str, float | int | None], pictures: Mapping[str, Any] | None = None
    ) -> Record:
        evaluations = sum(player.gradient_evaluations for player in self.players.values())
        return Record(
            step=self.at.step,
            samples=self.at.samples,
            tokens=self.at.samples * self.data.tokens_per_sample or None,
            gradient_evaluations=evaluations,
            split=split,
            train_seconds=self.clock.train_seconds,
            wall_seconds=self.clock.wall_seconds,
            values=values,
            pictures=pictures or {},
        )

    def _validation_record(self) -> Record:
        scores, pictures = self._timed(lambda: self.evaluator.scores_and_pictures(str(Split.VALIDATION)))
        metric = scores["metric"]
        self.at.evaluated_step = self.at.step
        self.at.latest = prefixed("val_", scores)
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
        return self._record(Split.VALIDATION, self.at.latest, pictures)

    def _timed(self, evaluate: Callable[[], Any]) -> Any:
        """What an evaluation gives, on the clock's account for it."""
        self.clock.to(EVALUATION)
        found = evaluate()
        self.clock.to(LOGGING)
        self.clock.resolve()
        return found

    def _better(self, a: float, b: float) -> bool:
        """Whether metric a beats b; a nan beats nothing, and everything else beats it."""
        if b != b:
            return a == a
        return a > b if self.task.direction == "max" else a < b

    def _last_evaluations(self) -> Iterator[Record]:
        if self.at.evaluated_step != self.at.step:  # the time was over between two evaluations
            yield self._validation_record()
        clean = self._timed(lambda: self.evaluator.scores("train", self.plan.eval_train_samples))
        yield self._record(Split.TRAIN_CLEAN, prefixed("train_clean_", clean))
        test = self._timed(lambda: self.evaluator.scores(str(Split.TEST)))
        yield self._record(Split.TEST, prefixed("test_", test))
        self.at.final = {**self.at.latest, **prefixed("test_", test), **prefixed("train_", clean)}

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> list[nn.Module]:
        """The players' networks."""
        return [player.module for player in self.players.values()]

    @property
    def sharded(self) -> bool:
        """Whether the networks lie in parts on the ranks: their weights are read by all ranks together."""
        return any(player.shards is not None for player in self.players.values())

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on bit for bit; plain values and tensors only."""
        return {
            "progress": dict(vars(self.at)),
            "clock": self.clock.state_dict(),
            "random": random_state(self.device),
            "players": {name: player.state_dict() for name, player in self.players.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.at = Progress(**state["progress"])
        self.clock.load_state_dict(state["clock"])
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        restore_random_state(state["random"], self.device)

    def weights_sha256(self) -> str:
        """Hash of every player's weights and buffers, by name."""
        digest = hashlib.sha256()
        for player, active in sorted(self.players.items()):
            for name, tensor in sorted(active.module.state_dict().items()):
                digest.update(f"{player}.{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
                tensor = getattr(tensor, "full_tensor", lambda whole=tensor: whole)()  # of a part, by all ranks at once
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def prefixed(prefix: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores under the names of their split's columns."""
    return {prefix + name: value for name, value in scores.items()}
