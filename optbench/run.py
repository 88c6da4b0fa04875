"""The composition root: a RunConfig becomes objects, is trained, and leaves a result."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from optbench import env, locate
from optbench.clock import CHECKPOINT, LOGGING, clock_for
from optbench.config import RunConfig
from optbench.contracts import DataSet, Sink, Task
from optbench.errors import ConfigError, Interrupted, OptbenchError
from optbench.models.roles import problem_of
from optbench.optimizers.build import build, engine_of
from optbench.optimizers.meter import state_bytes, tensor_bytes
from optbench.players import ActivePlayer
from optbench.records import SCHEMA, Record, Status
from optbench.store import RunFolder
from optbench.train import Plan, Trainer, step_milliseconds

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TICK_SECONDS = 0.1  # between two signs of life to the progress bar
OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Objects:
    """What a configuration is made into."""

    device: torch.device
    data: DataSet
    task: Task
    trainer: Trainer
    engine: str


@dataclass(frozen=True)
class Ended:
    """An ended run: where it lies, what came out, and whether it had ended before."""

    folder: Path
    run: Mapping[str, Any]
    result: Mapping[str, Any]
    was_there: bool


def data_root(config: RunConfig) -> Path:
    """Where downloaded data lies: data_dir, else $OPTBENCH_DATA_DIR, else ~/.cache/optbench/data."""
    given = config.data_dir or os.environ.get("OPTBENCH_DATA_DIR") or "~/.cache/optbench/data"
    return Path(given).expanduser()


# -- building --------------------------------------------------------------------------------------------------------


def assemble(config: RunConfig, on_step: Callable[[Trainer], None] = lambda trainer: None) -> Objects:
    """Data, model, task, optimizer and trainer of a run."""
    device = env.resolve_device(config.device)
    seeds = env.seeds_of(config.seed)
    env.prepare(config.threads, config.deterministic, seeds.init)
    data = locate.load(config.data.target)(**config.data.settings).load(data_root(config), device, seeds)
    env.prepare(config.threads, config.deterministic, seeds.init)  # loading may have drawn random numbers
    task = build_task(config, data, device)
    clock = clock_for(device)
    players = {name: build_player(config, module, device, clock) for name, module in task.players.items()}
    plan = Plan(**{field.name: getattr(config, field.name) for field in dataclasses.fields(Plan)})
    factor = locate.load(config.schedule.target)(steps=config.steps, **config.schedule.settings)
    trainer = Trainer(plan, task, data, players, factor, device=device, clock=clock, on_step=on_step)
    engine = engine_of(next(iter(players.values())).optimizer, config.optimizer.implementation)
    return Objects(device, data, task, trainer, engine)


def build_task(config: RunConfig, data: DataSet, device: torch.device) -> Task:
    """The model on its device inside its task."""
    settings = dict(config.model.settings)
    task = dict(settings.pop("task"))
    build_model = locate.load(config.model.target)
    model = build_model(sample_shape=data.sample_shape, classes=data.classes, **settings).to(device)
    return locate.load(task.pop("target"))(model, classes=data.classes, **task)


def build_player(config: RunConfig, module: torch.nn.Module, device: torch.device, clock: Any) -> ActivePlayer:
    """A network with its optimizer and clip."""
    choice, needs = config.optimizer, list(config.optimizer.about.get("needs", []))
    target = locate.load(choice.target)
    optimizer = build(target, choice.settings, choice.implementation, problem_of(module), needs)
    clip = locate.load(config.clip.target)(**config.clip.settings)
    if config.precision == "fp16" and "closure" in needs and choice.settings["impl"] != "user":
        raise ConfigError(f"optimizer={choice.name} evaluates more than once a step, which fp16's loss scaling does not allow",
                          "Use precision=bf16 or precision=fp32")
    return ActivePlayer(module, optimizer, clip, needs=needs, precision=config.precision,
                        micro_batch=config.micro_batch, device=device, clock=clock)


# -- running ---------------------------------------------------------------------------------------------------------


def execute(config: RunConfig, root: Path, *, study: str = "runs", stage: str = "run", force: bool = False,
            sinks: Callable[[RunFolder], Iterable[Sink]] = lambda folder: (),
            notice: Callable[[str], None] = lambda text: None) -> Ended:
    """Run a configuration to its end, resuming where a checkpoint lies; a run that has ended is not run again.

    Raises Interrupted after SIGINT or SIGTERM (checkpoint written), ConfigError and MissingError before training."""
    folder = RunFolder(root, study, config.run_id)
    ended = folder.result()
    if ended is not None and not force:
        return Ended(folder.path, folder.run() or {}, ended, True)
    with folder.locked():
        ended = folder.result()  # another process may have ended it just now
        if ended is not None and not force:
            return Ended(folder.path, folder.run() or {}, ended, True)
        if ended is not None:
            notice(f"the earlier run is kept in {folder.set_aside()}")
        return Session(config, folder, study, stage, notice).ended(list(sinks(folder)))


class Session:
    """One process's work on one run."""

    def __init__(self, config: RunConfig, folder: RunFolder, study: str, stage: str, notice: Callable[[str], None]) -> None:
        self.config, self.folder, self.study, self.stage, self.notice = config, folder, study, stage, notice
        self.resumed_from: list[int] = []
        self.signal: int | None = None
        self.checkpointed = self.ticked = time.monotonic()
        self.ticks: list[Callable[[int], None]] = []

    def ended(self, sinks: list[Sink]) -> Ended:
        """Train, and write the result."""
        with ending_sinks(sinks) as finish:
            try:
                self.objects = assemble(self.config, self._on_step)
                run = self._begin(sinks)
                status, reason = self._train(sinks)
            except OptbenchError:
                raise
            except Exception as error:
                if not hasattr(self, "objects"):
                    raise
                status, reason = self._failure(error)
            result = self._result(status, reason)
            self._close(result)
            finish(result)
        return Ended(self.folder.path, run, result, False)

    def _begin(self, sinks: list[Sink]) -> dict[str, Any]:
        if self.objects.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.objects.device)
        self._resume()
        run = self._run_facts()
        self.folder.write_run(run)
        for sink in sinks:
            sink.start({**run, "resumed_from_steps": self.resumed_from})
            self.ticks += [sink.tick] if hasattr(sink, "tick") else []
        return run

    def _train(self, sinks: list[Sink]) -> tuple[Status, str]:
        trainer = self.objects.trainer
        with self._signals():
            for record in trainer.records():
                self._log(record, sinks)
        return Status(trainer.at.status), trainer.at.reason

    def _log(self, record: Record, sinks: list[Sink]) -> None:
        self.folder.append(record)
        for sink in sinks:
            sink.log(record)

    # -- resuming ----------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        state = self.folder.read_checkpoint(read_checkpoint, self.notice)
        if state is None:
            self.folder.cut_back(0)
            return
        if state["data_sha256"] != self.objects.data.sha256:
            raise ConfigError(f"{self.folder.path.name}: the data changed since its checkpoint was written",
                              "Start over with --force, or bring the data back")
        self.objects.trainer.load_state_dict(state["trainer"])
        self.folder.cut_back(state["records_bytes"])
        step = self.objects.trainer.at.step
        self.resumed_from = [*state["resumed_from_steps"], step]
        self.notice(f"resumed from step {step} of {self.config.steps}")

    def _checkpoint(self) -> None:
        trainer = self.objects.trainer
        with trainer.clock.during(CHECKPOINT):
            state = {"schema": SCHEMA, "run_id": self.config.run_id, "data_sha256": self.objects.data.sha256,
                     "records_bytes": self.folder.sync(), "resumed_from_steps": self.resumed_from,
                     "trainer": trainer.state_dict()}
            self.folder.write_checkpoint(trainer.at.step, lambda out: torch.save(state, out))
        self.checkpointed = time.monotonic()

    def _on_step(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if self.signal is not None or now - self.checkpointed >= self.config.checkpoint_seconds:
            self._checkpoint()
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            raise Interrupted(self.signal, f"interrupted by {name} at step {trainer.at.step} of {self.config.steps}",
                              "A checkpoint is written: the same command goes on from there")
        if now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            with trainer.clock.during(LOGGING):
                for tick in self.ticks:
                    tick(trainer.at.step)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks for a checkpoint at the end of the step; the second acts at once."""
        def ask(number: int, frame: Any) -> None:
            self.signal = number
            signal.signal(number, before[number])

        try:
            before = {number: signal.signal(number, ask) for number in SIGNALS}
        except ValueError:  # not the main thread: its owner handles signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> tuple[Status, str]:
        """An error of the model, the data or the optimizer is a result, with its traceback beside it."""
        message = (str(error).splitlines() or [""])[0]
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(w in str(error) for w in OUT_OF_MEMORY_WORDS):
            return Status.OUT_OF_MEMORY, f"{message} (at step {self.objects.trainer.at.step})"
        (self.folder.path / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return Status.FAILED, f"{type(error).__name__}: {message} (at step {self.objects.trainer.at.step}; see error.txt)"

    def _close(self, result: dict[str, Any]) -> None:
        if self.config.keep_checkpoint and Status(result["status"]).succeeded:
            self._checkpoint()
        self.folder.write_result(result)
        if not self.config.keep_checkpoint:
            self.folder.drop_checkpoints()

    def _run_facts(self) -> dict[str, Any]:
        config, objects = self.config, self.objects
        data = objects.data
        return {
            "schema": SCHEMA, "run_id": config.run_id, "trial_id": config.trial_id, "study": self.study,
            "stage": self.stage, "seed": config.seed, "config": config.as_dict(), "overrides": list(config.overrides),
            "algorithm": config.optimizer.about["algorithm"], "implementation": config.optimizer.settings["impl"],
            "engine": objects.engine, "metric": objects.task.metric, "direction": objects.task.direction,
            "versions": env.versions(), "git": env.git_state(), "hardware": env.hardware(objects.device),
            "threads": config.threads, "sources": {"optimizer_sha256": config.optimizer.about.get("source_sha256")},
            "data": {"sha256": data.sha256, "verified": data.verified, "sizes": dict(data.sizes),
                     "sample_shape": list(data.sample_shape), "classes": data.classes},
            "micro_batch": config.micro_batch or config.batch_size, "started_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def _result(self, status: Status, reason: str) -> dict[str, Any]:
        trainer, task = self.objects.trainer, self.objects.task
        at, clock = trainer.at, trainer.clock
        clock.resolve()
        names = ("val_loss", "val_metric", "test_loss", "test_metric", "train_loss", "train_metric")
        target = {"metric": task.metric, "direction": task.direction, "value": self.config.target, "hash": None,
                  "step": None, "samples": None, "train_seconds": None, **at.reached}
        return {
            "schema": SCHEMA, "run_id": self.config.run_id, "status": str(status), "reason": reason,
            "metric": task.metric, "direction": task.direction,
            "final": {name: at.final.get(name) for name in names}, "best": dict(at.best) or None,
            "target": target if self.config.target is not None else None,
            "steps": at.step, "samples": at.samples,
            "gradient_evaluations": sum(p.gradient_evaluations for p in trainer.players.values()),
            "seconds": clock.seconds(), "train_seconds": clock.train_seconds, "wall_seconds": clock.wall_seconds,
            "bytes": self._bytes(), "throughput": self._throughput(), "resumed_from_steps": self.resumed_from,
            "data_verified": self.objects.data.verified, "weights_sha256": trainer.weights_sha256(),
        }

    def _bytes(self) -> dict[str, Any]:
        device, players = self.objects.device, self.objects.trainer.players.values()
        parameters = [p for player in players for p in player.parameters]
        state: dict[str, int] = {}
        for player in players:
            for dtype, count in state_bytes(player.optimizer).items():
                state[dtype] = state.get(dtype, 0) + count
        peaks = {"peak_allocated": None, "peak_reserved": None, "resident": env.resident_peak_bytes()}
        if device.type == "cuda":
            peaks |= {"peak_allocated": torch.cuda.max_memory_allocated(device),
                      "peak_reserved": torch.cuda.max_memory_reserved(device)}
        return {"parameters": tensor_bytes(parameters), "optimizer_state": state,
                "gradients": tensor_bytes(p.grad for p in parameters if p.grad is not None), **peaks}

    def _throughput(self) -> dict[str, Any]:
        trainer = self.objects.trainer
        clock, flops = trainer.clock, trainer.at.flops_per_step
        seconds = clock.train_seconds
        peak = env.peak_flops(self.objects.device, self.config.precision)
        rate = flops * trainer.at.step / seconds if flops and seconds > 0 else None
        return {"samples_per_second": trainer.at.samples / seconds if seconds > 0 else None,
                **step_milliseconds(clock.step_seconds), "flops_per_step": flops, "flops_per_second": rate,
                "utilisation": rate / peak if rate and peak else None}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values; no code of it is run."""
    return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def ending_sinks(sinks: list[Sink]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Sinks are finished once: with the result, or with None where there is none."""
    results: list[Mapping[str, Any]] = []
    try:
        yield results.append
    finally:
        for sink in sinks:
            sink.finish(results[0] if results else None)
