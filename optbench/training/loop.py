"""The training loop: a generator of Records. It knows nothing about files, trackers or terminals."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from optbench.contracts import Batch, DataSet, Task, Turn
from optbench.optimizers.core.interface import warm_up
from optbench.records import Record, Split, Status
from optbench.training.algebra_failures import Diverged
from optbench.training.attention import KernelRecorder
from optbench.training.clock import COMPILE, DATA, EVALUATION, LOGGING, OTHER, Clock, step_milliseconds
from optbench.training.evaluation import Evaluator
from optbench.training.flops import count_flops
from optbench.training.memory import MemoryMeter, resident_peak_bytes
from optbench.training.parallel import Communicator
from optbench.training.plan import Plan, State, TrainingProgress
from optbench.training.player import ActivePlayer
from optbench.training.seeding import preserve_state, random_state, restore_random_state

if TYPE_CHECKING:
    import numpy as np

Values = Mapping[str, float | int | None]
T = TypeVar("T")


class Trainer:
    """Trains the players of a task. Iterate over `records()`; then `progress` has status, reason and final scores."""

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
        self.comm, self.memory = comm, MemoryMeter(device)
        self.warmed_up = False
        self.progress = TrainingProgress()
        self.out_of_time = False
        """True at the last step that the time limit allows; the run may go on from there under a longer one."""
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
        """Train to the end of the budget, or until target, time limit or divergence end the run; yield records."""
        self.warm_up()
        self.clock.begin()
        for module in self.modules:
            module.train()
        self.clock.to(DATA)
        batches = self.data.train_batches(self.plan.batch_size, self.progress.step)
        try:
            yield from self._loop(self._prepare(batches))
        finally:
            getattr(batches, "close", lambda: None)()  # stops a loader's workers
        if self.progress.status != Status.DIVERGED and not self.progress.final:
            yield from self._final_evaluations()
        self.clock.to(OTHER)
        self.clock.resolve()

    def _loop(self, batches: Iterator[Batch]) -> Iterator[Record]:
        plan, progress, clock = self.plan, self.progress, self.clock
        while progress.step < plan.steps and self.progress.status == Status.COMPLETED:
            clock.to(DATA)
            batch = next(batches)
            recording = (progress.step + 1) % plan.record_every == 0 or progress.step + 1 == plan.steps
            try:
                self.take_turns(batch, recording)
            except Diverged as error:
                self._end(Status.DIVERGED, f"{error} at step {progress.step + 1}")
                return
            clock.to(OTHER)
            clock.end_step()
            progress.step += 1
            progress.samples += plan.batch_size
            if recording:
                yield self._train_record()
            evaluating = progress.step % plan.eval_every == 0 or progress.step == plan.steps
            if self.progress.status == Status.COMPLETED and evaluating:
                yield self._validation_record()
            self.out_of_time = self._is_out_of_time()
            if self.progress.status == Status.COMPLETED:  # an ended run must not be resumed
                self.on_step(self)
            if self.out_of_time:
                steps = f"{progress.step} of {plan.steps} steps"
                self._end(Status.TIMED_OUT, f"time limit max_seconds={plan.max_seconds:g} reached after {steps}")

    def take_turns(self, batch: Batch, recording: bool) -> None:
        """Take every optimizer step of the task on a batch, at the current step."""
        factor = self.factor(self.progress.step)
        for turn in self._turns(batch, self.progress.step):
            self.players[turn.player].step(turn, factor, recording)
            self.task.after_step(self.progress.step)

    def _turns(self, batch: Batch, step: int) -> Iterable[Turn]:
        """Return the turns of a step, on this rank's samples."""
        if self.comm is None:
            return self.task.turns(batch, step)
        self.comm.begin_step(step)
        return (replace(turn, batch=self.comm.local_batch(turn.batch)) for turn in self.task.turns(batch, step))

    def _is_out_of_time(self) -> bool:
        limit, done = self.plan.max_seconds, self.progress.step >= self.plan.steps
        if limit is None or done or self.progress.status != Status.COMPLETED:
            return False
        over = self.clock.wall_seconds >= limit
        return self.comm.broadcast(over) if self.comm is not None else over

    def _end(self, status: Status, reason: str) -> None:
        self.progress.status, self.progress.reason = status.value, reason

    # -- before the first step ---------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Compile the optimizers' rules, unless this was done: their engines are known from here on."""
        if self.warmed_up or self.progress.step >= self.plan.steps:
            return
        began = time.perf_counter()
        for player in self.players.values():
            warm_up(player.optimizer)
        self.clock.add(COMPILE, time.perf_counter() - began)
        self.warmed_up = True

    def _prepare(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Compile, and count FLOPs on the first batch, without any effect on training."""
        if self.progress.step >= self.plan.steps:
            return batches
        first = next(batches)
        if self.plan.evaluate_untrained and self.progress.step == 0:
            untrained = self._timed(lambda: self.evaluator.scores(str(Split.VALIDATION)))
            self.progress.untrained = untrained["metric"]
        self.clock.to(COMPILE)
        if self.progress.attention is None:
            with KernelRecorder() as recorder:
                self.progress.flops_per_step = self._flops_per_step(first)
            self.progress.attention = sorted(recorder.kernels)
        if self.plan.compile:
            for module in self.modules:
                module.compile()
            self.dry_step(first)
            self.evaluator.warm_up(str(Split.VALIDATION))
        self.memory.begin()
        return itertools.chain([first], batches)

    def dry_step(self, batch: Batch) -> None:
        """Run forward and backward on a batch without any effect: no update, no count, no change of phase."""
        with preserve_state(self.modules, self.device):
            for turn in self._turns(batch, 0):
                player = self.players[turn.player]
                with player.unmeasured():
                    player.gradients(turn)

    def _flops_per_step(self, batch: Batch) -> int | None:
        """Return the FLOPs of forward and backward on one batch, over all ranks; None if they cannot be counted."""
        flops = count_flops(lambda: self.dry_step(batch))
        if flops is None or self.comm is None:
            return flops or None
        return int(self.comm.sum_scalars(flops)[0]) or None

    # -- records -----------------------------------------------------------------------------------------------------

    def _train_record(self) -> Record:
        self.clock.to(LOGGING)
        self.clock.resolve()
        values: dict[str, float | int | None] = {}
        for name, player in self.players.items():
            alone = len(self.players) == 1
            measured = player.values()
            values |= {key if alone else f"{name}_{key}": value for key, value in measured.items()}
            self._check_diverged(measured["train_loss"], "" if alone else f"{name}: ")
        return self._record(Split.TRAIN, {**values, **self.task.measures(), **self._speed(), **self._memory()})

    def _check_diverged(self, loss: float | None, who: str) -> None:
        reason = self.task.diverged(loss) if loss is not None else ""
        if reason:
            self._end(Status.DIVERGED, f"{who}{reason} at step {self.progress.step}")

    def _speed(self) -> dict[str, float | None]:
        progress, clock = self.progress, self.clock
        samples = progress.samples - progress.recorded_samples
        seconds = clock.train_seconds - progress.recorded_train_seconds
        recent = clock.step_seconds[-max(1, samples // self.plan.batch_size) :]
        progress.recorded_samples, progress.recorded_train_seconds = progress.samples, clock.train_seconds
        rate = samples / seconds if seconds > 0 else None
        tokens = self.data.tokens_per_sample
        text = {"tokens_per_second": rate * tokens if rate else None} if tokens else {}
        return {"samples_per_second": rate, **text, **step_milliseconds(recent)}

    def _memory(self) -> dict[str, int | None]:
        if self.device.type != "cuda":
            return {"resident_bytes": resident_peak_bytes()}
        return {f"{name}_bytes": value for name, value in self.memory.peaks().items()}

    def _record(self, split: Split, values: Values, pictures: Mapping[str, np.ndarray] | None = None) -> Record:
        if self.comm is not None:
            self.comm.require_all()
        evaluations = sum(player.gradient_evaluations for player in self.players.values())
        return Record(
            step=self.progress.step,
            samples=self.progress.samples,
            tokens=self.progress.samples * self.data.tokens_per_sample or None,
            gradient_evaluations=evaluations,
            split=split,
            train_seconds=self.clock.train_seconds,
            wall_seconds=self.clock.wall_seconds,
            values=values,
            pictures=pictures or {},
        )

    def _validation_record(self) -> Record:
        scores, pictures = self._timed(lambda: self.evaluator.scores_and_pictures(str(Split.VALIDATION)))
        metric, progress, target = scores["metric"], self.progress, self.plan.target
        if progress.untrained is not None:
            scores = {"trivial": progress.untrained, **scores}
        progress.evaluated_step = progress.step
        progress.latest = prefixed("val_", scores)
        if not progress.best or self._better(metric, progress.best["val_metric"]):
            progress.best = {"step": progress.step, **progress.latest}
        if target is not None and not progress.reached and not self._better(target, metric):
            progress.reached = {
                "step": progress.step,
                "samples": progress.samples,
                "train_seconds": self.clock.train_seconds,
            }
            if self.plan.stop_at_target:
                reason = f"validation {self.task.metric} reached {target:g} at step {progress.step}"
                self._end(Status.STOPPED_AT_TARGET, reason)
        return self._record(Split.VALIDATION, progress.latest, pictures)

    def _timed(self, evaluate: Callable[[], T]) -> T:
        """Return `evaluate()`, with its time in the phase of evaluation."""
        self.clock.to(EVALUATION)
        with self.memory.evaluating():
            found = evaluate()
        self.clock.to(LOGGING)
        self.clock.resolve()
        return found

    def _better(self, a: float, b: float) -> bool:
        """Return True if metric a is better than b. NaN is worse than any number."""
        if b != b:
            return a == a
        return a > b if self.task.direction == "max" else a < b

    def _final_evaluations(self) -> Iterator[Record]:
        if self.progress.evaluated_step != self.progress.step:  # the time limit ended the run between evaluations
            yield self._validation_record()
        clean = self._timed(lambda: self.evaluator.scores("train", self.plan.eval_train_samples))
        yield self._record(Split.TRAIN_CLEAN, prefixed("train_clean_", clean))
        test = self._timed(lambda: self.evaluator.scores(str(Split.TEST)))
        yield self._record(Split.TEST, prefixed("test_", test))
        self.progress.final = {**self.progress.latest, **prefixed("test_", test), **prefixed("train_", clean)}

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def modules(self) -> list[nn.Module]:
        """The players' networks."""
        return [player.module for player in self.players.values()]

    @property
    def sharded(self) -> bool:
        """True if the networks are sharded, so that all ranks must read their weights together."""
        return any(player.shards is not None for player in self.players.values())

    def state_dict(self, *, last: bool = False) -> State:
        """Return the state from which a resumed run continues bit for bit: plain values and tensors.

        The `last` one of a run also holds the weights for evaluation of players that have their own."""
        players = {name: player.state_dict() for name, player in self.players.items()}
        for name, weights in self.evaluator.weights().items() if last else ():
            players[name]["evaluation"] = weights
        return {
            "progress": dict(vars(self.progress)),
            "clock": self.clock.state_dict(),
            "random": random_state(self.device),
            "players": players,
        }

    def load_state_dict(self, state: State) -> None:
        """Load a checkpoint's state."""
        self.progress = TrainingProgress(**state["progress"])
        self.clock.load_state_dict(state["clock"])
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])
        restore_random_state(state["random"], self.device)

    def weights_sha256(self) -> str:
        """Return a hash of every player's weights and buffers, by name."""
        return hash_of({name: player.module.state_dict() for name, player in self.players.items()})


def hash_of(players: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Return a hash of weights and buffers, by player and name."""
    digest = hashlib.sha256()
    for player, state in sorted(players.items()):
        for name, tensor in sorted(state.items()):
            digest.update(f"{player}.{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            whole = whole_tensor(tensor).detach().cpu().contiguous()
            digest.update(whole.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a sharded tensor as a whole, gathered from all ranks; return other tensors unchanged."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def prefixed(prefix: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Return scores under the names of their split's columns."""
    return {prefix + name: value for name, value in scores.items()}
