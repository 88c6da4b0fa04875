"""The process of a probe: it times the beginning and the end of a run, and writes nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.config.user_code import described
from optbench.errors import ExpectationFailed, OptbenchError, package_errors
from optbench.records import Record, Split

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import torch

    from optbench.sessions.assemble import Objects
    from optbench.training.loop import Trainer

WARM_UP = 3  # steps that are not timed
STEPS = 30  # timed steps at least, unless they take longer than PROBE_SECONDS
LEAST_SECONDS = 0.5  # of timed steps: short steps are noisy
PROBE_SECONDS = 1.5
LINE_BYTES = 500  # of a record, if the probe saw none; about the length for a language model
ENDLESS = 2**31  # steps: the timer ends the probe


@dataclass(frozen=True)
class ProbeResult:
    """The time, memory and disk that a run of a cell takes."""

    step_seconds: float
    evaluation_seconds: float
    """Per sample."""
    sizes: Mapping[str, int]
    """Samples in each split."""
    start_seconds: float
    """From the fork to the first step, and from the last record to the end of the process."""
    record_bytes: int
    """Bytes of one line of metrics.jsonl."""
    facts_bytes: int
    """Bytes of run.json."""
    checkpoint_bytes: int
    resident_bytes: int
    """Peak memory of the process."""
    device_bytes: int
    """Peak memory reserved on a CUDA device, by training and evaluation; 0 on a CPU."""
    steps: int

    def evaluations(self, config: RunConfig) -> int:
        """Return the number of evaluations on validation of a run."""
        return -(-config.steps // config.eval_every)

    def seconds(self, config: RunConfig) -> float:
        """Return the seconds of a whole run."""
        samples = self.evaluations(config) * self.sizes["validation"] + self.sizes["test"]
        samples += min(self.sizes["train"], config.eval_train_samples)
        training = config.steps * self.step_seconds + samples * self.evaluation_seconds
        return self.start_seconds + min(training, config.max_seconds or training)

    def file_bytes(self, config: RunConfig, *, keeps_checkpoint: bool) -> int:
        """Return the size of a run's folder: records, run.json, a result.json of about the same length, checkpoint."""
        records = config.steps // config.record_every + self.evaluations(config) + 2
        step_times = 4 * config.steps  # the checkpoint's clock keeps one number a step
        kept = self.checkpoint_bytes + step_times if keeps_checkpoint else 0
        return records * self.record_bytes + 2 * self.facts_bytes + kept


def report_ready(pipe: Connection, began: float) -> None:
    """Show that the fork server is ready; the body of a process."""
    with suppress(OSError):
        pipe.send((True, time.monotonic()))


def probe_in_process(
    pipe: Connection, config: RunConfig, root: Path, environment: Mapping[str, str], began: float
) -> None:
    """Send the probe of a run; the body of a process. Ctrl-C in the terminal does not reach it: its parent kills it."""
    with suppress(OSError):
        os.setpgid(0, 0)
    os.environ.update(environment)
    discard_output()
    with suppress(OSError):  # nobody waits for the answer any more
        found = answer(config, root, began)
        pipe.send((found, time.monotonic()))


def discard_output() -> None:
    """Discard what the run prints: a probe has no log."""
    handle = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def answer(config: RunConfig, root: Path, began: float) -> dict[str, Any] | OptbenchError:
    """Return the fields of ProbeResult, or the error why the run cannot be run; ExpectationFailed if its steps fail."""
    try:
        with package_errors():
            return asdict(probe_run(config, root, began))
    except OptbenchError as error:
        return error
    except Exception as error:
        return ExpectationFailed(f"its first steps fail: {described(error)}")


class Enough(Exception):
    """Raised when the steps are timed."""


class Timer:
    """Times the steps of a trainer after the first ones, and stops it."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.steps = 0

    def __call__(self, trainer: Trainer) -> None:
        """Note the time; called after every step. Raises Enough when enough steps are timed."""
        step = trainer.progress.step
        if step == WARM_UP:
            self.first = now(trainer.device)
        if step <= WARM_UP:
            return
        self.steps = step - WARM_UP
        seconds = time.perf_counter() - self.first
        if seconds >= PROBE_SECONDS or (self.steps >= STEPS and seconds >= LEAST_SECONDS):
            self.last = now(trainer.device)
            raise Enough

    @property
    def seconds(self) -> float:
        """Seconds of all timed steps."""
        return self.last - self.first

    @property
    def step_seconds(self) -> float:
        """Seconds of a step, with its records."""
        return self.seconds / self.steps


def now(device: torch.device) -> float:
    """Return the time at which the device has finished its work."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def probe_run(config: RunConfig, root: Path, began: float) -> ProbeResult:
    """Time the beginning and the end of a run. Raises the error of a run that cannot be run or fails."""
    from optbench.sessions.assemble import assemble
    from optbench.sessions.first_step import check_first_step
    from optbench.sessions.initial_weights import initial_weights
    from optbench.sessions.run_documents import run_facts
    from optbench.training.memory import resident_peak_bytes

    timer = Timer()

    def on_step(trainer: Trainer) -> None:
        if trainer.progress.step == 1:
            check_first_step(config, trainer, compared=True)
        timer(trainer)

    objects = assemble(config, on_step, weights=initial_weights(config, root))
    facts = json.dumps(run_facts(config, objects, "", ""), indent=2, default=str)
    trainer, lines = objects.trainer, [LINE_BYTES]
    trainer.plan = replace(trainer.plan, steps=ENDLESS, eval_every=ENDLESS, max_seconds=None, stop_at_target=False)
    with suppress(Enough):
        for record in trainer.records():
            lines = [line_bytes(record)]
        raise ExpectationFailed(f"its first steps fail: {trainer.progress.reason}")
    stepped = time.monotonic()
    per_sample = evaluation_seconds(objects)
    evaluated = time.monotonic()
    trainer.weights_sha256()
    checkpoint = checkpoint_bytes(trainer)
    ended = time.monotonic()
    return ProbeResult(
        step_seconds=timer.step_seconds,
        evaluation_seconds=per_sample,
        sizes=dict(objects.data.sizes),
        start_seconds=stepped - began - timer.seconds + ended - evaluated,
        record_bytes=lines[-1],
        facts_bytes=len(facts),
        checkpoint_bytes=checkpoint,
        resident_bytes=resident_peak_bytes() or 0,
        device_bytes=trainer.memory.peaks()["peak_reserved"] or 0,
        steps=timer.steps,
    )


def line_bytes(record: Record) -> int:
    """Return the length of a record's line in metrics.jsonl."""
    return len(json.dumps(record.as_row())) + 1


def evaluation_seconds(objects: Objects) -> float:
    """Return the seconds per sample of an evaluation on validation: of all of it, or of one batch if that is slow."""
    evaluator, count = objects.trainer.evaluator, objects.data.sizes["validation"]
    batch = min(count, evaluator.batch_size)
    seconds = timed(lambda: evaluator.scores(str(Split.VALIDATION), batch), objects.device)
    if seconds * count / batch > PROBE_SECONDS:
        return seconds / batch
    return timed(lambda: evaluator.scores(str(Split.VALIDATION)), objects.device) / count


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a call takes."""
    began = now(device)
    call()
    return now(device) - began


class ByteCounter:
    """A file that keeps only its length."""

    def __init__(self) -> None:
        self.length = 0

    def write(self, data: bytes) -> int:
        """Add the length of the data."""
        size = memoryview(data).nbytes
        self.length += size
        return size

    def flush(self) -> None:
        """Do nothing."""


def checkpoint_bytes(trainer: Trainer) -> int:
    """Return the length of a checkpoint: parameters, optimizer state, random state."""
    import torch

    file = ByteCounter()
    torch.save(trainer.state_dict(), file)  # type: ignore[arg-type]  # it only writes and flushes
    return file.length
