"""The script's side: `run = optbench.attach()` knows what is asked of the script, and takes its answer.

    run = optbench.attach(metric="accuracy", direction="max")
    optimizer = run.optimizer(model)
    scheduler = run.schedule(optimizer, steps)
    run.log(step=step, train_loss=loss)
    run.finish(val_metric=accuracy)

Started without optbench, the same script runs with the default optimizer or with what `attach` is given, and nothing is
written. Importing this file loads no torch.
"""

from __future__ import annotations

import atexit
import operator
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.errors import ConfigError, suggest
from optbench.scripts import guard
from optbench.scripts.job import VARIABLE, EventWriter, Job, read_job
from optbench.scripts.names import FINAL, check_names, number_of
from optbench.training.clock import LOGGING, OPTIMIZER, PHASES, Clock, step_milliseconds

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LOOK_SECONDS = 0.1  # between two looks whether the script is asked to stop
EVALUATED = ("val_", "test_", "train_clean_")

_attached: AttachedRun | None = None


def attach(*, metric: str = "", direction: str = "", **overrides: object) -> AttachedRun:
    """Return the run that this script is; the same one for every call.

    `metric` and `direction` ("max" or "min") tell what `val_metric` is; optbench reads them from the script's text
    before it starts it. Without optbench, `overrides` are values of configuration keys: optimizer="lion", steps=100."""
    global _attached
    if _attached is None:
        file = os.environ.get(VARIABLE)
        job = read_job(Path(file)) if file else None
        _attached = AttachedRun(job.run_config if job else alone(overrides), job)
    return _attached


def alone(overrides: Mapping[str, object]) -> RunConfig:
    """Return the configuration of a script that optbench has not started."""
    from optbench.config import Composition
    from optbench.config.values import as_typed

    words = [f"{key}={as_typed(value)}" for key, value in overrides.items()]
    return Composition([f"script={sys.executable}", "script.direction=min", *words]).run_config()


class AttachedRun:
    """Settings that optbench asks this script to use, and the way back for its measurements."""

    def __init__(self, config: RunConfig, job: Job | None) -> None:
        self.config = config
        self._job = job
        self._cwd = job.cwd if job else os.getcwd()
        self._pid = os.getpid()
        self.clock = Clock()
        self.clock.begin()
        self._phases = {name: Phase(self, index) for index, name in enumerate(PHASES)}
        self._events = EventWriter(Path(job.events)) if job and guard.is_first_rank() else None
        self._used: set[str] = set()
        self._optimizers: list[Any] = []
        self._clips: dict[int, tuple[Any, Any]] = {}
        self._norm: Any = None
        self._step = self._window = -1
        self._samples: int | None = None
        self._began = self._finished = self._marked = self._stop = False
        self._looked = self._step_began = 0.0
        self._send("attach", pid=self._pid)
        if job is not None:
            guard.end_with_parent(job, self._ask_to_stop)
        if self._events is not None:
            guard.report_errors(self._send)
            atexit.register(self._at_exit)

    # -- what is asked -----------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """The seed of this run: of initialisation, sample order and augmentation."""
        return self._read("seed")

    @property
    def steps(self) -> int:
        """The budget in optimizer steps."""
        return self._read("steps")

    @property
    def batch_size(self) -> int:
        """Samples per optimizer step."""
        return self._read("batch_size")

    @property
    def checkpoint_folder(self) -> Path | None:
        """A folder that stays until the run has finished, for the script's checkpoints; None without optbench."""
        return Path(self._job.checkpoint_folder) if self._job else None

    @property
    def resumed(self) -> bool:
        """True if this run was interrupted before, so that its checkpoint folder may hold something."""
        return bool(self._job and self._job.resumed)

    def _ask_to_stop(self) -> bool:
        """Ask the script to stop; return True if it was asked before."""
        before = self._stop or self._job is None or os.path.exists(self._job.stop)
        self._stop = True
        return before

    @property
    def should_stop(self) -> bool:
        """True once the script is asked to stop: out of time, interrupted, or pruned. Cheap enough for every step."""
        if not self._stop and self._job is not None:
            now = time.monotonic()
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                self._stop = os.path.exists(self._job.stop)
        return self._stop

    def value(self, key: str) -> Any:
        """Return the value of any configuration key, e.g. run.value("precision")."""
        from optbench.config.trees import flatten

        leaves = flatten(self.config.as_dict())
        if key not in leaves:
            from optbench.scripts.commands import suggest_key

            raise ConfigError(f"run.value({key!r}): there is no such key", suggest_key(key, leaves))
        self._use(key.partition(".")[0])
        return leaves[key]

    # -- what is built -----------------------------------------------------------------------------------------------

    def optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """Return the configured optimizer for a model, or for parameters or groups as torch takes them.

        With the model, its modules decide which parameters decay, and how optimizers such as Muon treat them."""
        from optbench.scripts import objects
        from optbench.training.clock import COMPILE, clock_for

        with self.clock.during(COMPILE):
            made = objects.build_optimizer(self.config, parameters, self._cwd)
        self._optimizers.append(made)
        device = made.param_groups[0]["params"][0].device
        if device.type == "cuda" and len(self._optimizers) == 1:
            clock = clock_for(device)
            clock.load_state_dict(self.clock.state_dict())
            self.clock = clock
        self._use("optimizer", **objects.facts_of(self.config, made))
        return made

    def schedule(self, optimizer: torch.optim.Optimizer, steps: int | None = None) -> Any:
        """Return the configured schedule over `steps` (the budget) as a scheduler of torch; call its step() after each
        optimizer step."""
        from optbench.scripts import objects

        self._use("schedule")
        return objects.build_schedule(self.config, optimizer, self.config.steps if steps is None else steps, self._cwd)

    def clip(self, model: Any) -> Tensor:
        """Apply the configured clip to the gradients; return their joint L2 norm before it, a scalar tensor."""
        from optbench.clipping import gradient_norm
        from optbench.scripts import objects

        if id(model) not in self._clips:
            self._clips[id(model)] = (model, objects.build_clip(self.config, model, self._cwd))
            self._use("clip")
        clip, parameters = self._clips[id(model)][1]
        norm = clip(parameters).norm
        self._norm = gradient_norm(parameters) if norm is None else norm
        return self._norm

    def eval_weights(self, optimizer: Any, model: Any, batches: Any = None) -> Any:
        """Return a context in which the model has the weights to evaluate: averaged, schedule-free, or as they are.

        `batches` of inputs renew the statistics of batch norms for these weights."""
        from optbench.scripts import objects

        return objects.evaluation_weights(optimizer, model, batches)

    # -- what is measured --------------------------------------------------------------------------------------------

    def phase(self, name: str) -> Phase:
        """Return a context whose time counts as a phase: data, forward, backward, optimizer, evaluation, ..."""
        try:
            return self._phases[name]
        except KeyError:
            raise ConfigError(f"run.phase({name!r}): there is no such phase", suggest(name, PHASES)) from None

    def log(self, *, step: int, samples: int | None = None, **values: Any) -> None:
        """Record values at a step, the number of optimizer steps done: train_loss every `record_every` steps, values
        of evaluations (val_metric, val_loss, test_...) always.

        Values may be tensors: they are read when a record is due."""
        if self._finished:
            raise ConfigError("run.log() after run.finish(): the result is already given")
        try:
            number = operator.index(step)
        except TypeError:
            raise ConfigError(f"run.log(step={step!r}): expected a whole number") from None
        if number == self._step + 1:
            self._end_step()
        self._step_began = time.perf_counter()
        window = number // self.config.record_every
        if not self._began:
            self._begin(number)
        is_due = number != self._step and window != self._window
        if is_due or any(name.startswith(EVALUATED) for name in values):
            self._record(number, samples, values, is_due)
            self._window = window
        self._step, self._samples = number, samples

    def _begin(self, step: int) -> None:
        self._began = True
        earlier = [recorded for recorded in (self._job.recorded if self._job else []) if recorded < step]
        self._window = max(earlier) // self.config.record_every if earlier else -1
        self._send("begin", step=step)

    def _end_step(self) -> None:
        if self._marked:
            self.clock.end_step()
        elif self._step_began:
            self.clock.step_seconds.append(time.perf_counter() - self._step_began)

    def _record(self, step: int, samples: int | None, values: Mapping[str, Any], is_due: bool) -> None:
        if step < max(self._step, 0):
            raise ConfigError(f"run.log(step={step}): the step before was {self._step}")
        check_names("run.log()", values)
        with self.clock.during(LOGGING):
            numbers = {key: number_of(key, value) for key, value in values.items() if value is not None}
            if is_due:
                numbers |= self._own_values(numbers)
            self.clock.resolve()
            recent = self.clock.step_seconds[-self.config.record_every :] if is_due else ()
            speed = step_milliseconds(recent)
            self._send("log", step=step, samples=samples, values=numbers, speed=speed, **self._so_far())

    def _own_values(self, given: Mapping[str, float]) -> dict[str, float]:
        """Return the learning rate and the last gradient norm, unless the script gives them."""
        own: dict[str, float] = {}
        if self._optimizers and "lr" not in given and "lr" in self._optimizers[0].param_groups[0]:
            own["lr"] = float(self._optimizers[0].param_groups[0]["lr"])
        if self._norm is not None and "grad_norm" not in given:
            own["grad_norm"] = float(self._norm)
        return own

    def finish(self, *, val_metric: Any, trivial: Any = None, **values: Any) -> None:
        """Give the result. `val_metric` chooses among trials, `test_metric` is reported; `trivial` is the metric of an
        answer that has learned nothing, such as the share of the most frequent class."""
        if self._finished:
            raise ConfigError("run.finish() was already called: a run has one result")
        given = {"val_metric": val_metric, **values}
        if trivial is not None:
            given |= {"val_trivial": trivial, "test_trivial": trivial}
        check_names("run.finish()", given, FINAL)
        numbers = {key: number_of(key, value) for key, value in given.items() if value is not None}
        if "val_metric" not in numbers:
            raise ConfigError("run.finish() needs a val_metric: it chooses among trials")
        self._finished = True
        self._send("finish", values=numbers, bytes=self._bytes(), **self._so_far())

    def _bytes(self) -> dict[str, Any]:
        from optbench.training.memory import resident_peak_bytes

        if not self._optimizers:
            return {"resident": resident_peak_bytes()}
        from optbench.scripts import objects

        return {**objects.bytes_of(self._optimizers), "resident": resident_peak_bytes()}

    def _so_far(self) -> dict[str, object]:
        """Return the seconds by phase, which add up to all seconds since `attach`, and the gradient evaluations."""
        state = self.clock
        state.to(state._phase)
        return {"seconds": state.seconds(), "marked": self._marked, "evaluations": self._evaluations()}

    def _evaluations(self) -> int | None:
        if not self._optimizers:
            return None
        from optbench.scripts import objects

        return objects.evaluations_of(self._optimizers)

    # -- the way back ------------------------------------------------------------------------------------------------

    def _send(self, kind: str, **fields: object) -> None:
        if self._events is not None and os.getpid() == self._pid:  # not in a forked process, e.g. one that reads data
            self._events.write(kind, **fields)

    def _read(self, key: str) -> Any:
        self._use(key)
        return getattr(self.config, key)

    def _use(self, name: str, **facts: object) -> None:
        if name not in self._used:
            self._used.add(name)
            self._send("used", name=name, **facts)

    def _at_exit(self) -> None:
        self.clock.resolve()
        milliseconds = step_milliseconds(self.clock.step_seconds)
        self._send("end", step=self._step, samples=self._samples, speed=milliseconds, **self._so_far())


class Phase:
    """The context of a phase; it may be entered again and again, also inside another phase."""

    def __init__(self, run: AttachedRun, index: int) -> None:
        self.run, self.index = run, index
        self.before: list[int] = []

    def __enter__(self) -> None:
        run = self.run
        if self.index <= OPTIMIZER:
            run._marked = True
        clock = run.clock
        self.before.append(clock._phase)
        clock.to(self.index)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.run.clock.to(self.before.pop())
