"""The beginning and the end of a run, timed: what a probe's process does. Nothing is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from optbench.config import RunConfig
from optbench.errors import ExpectationFailed, OptbenchError, first_line
from optbench.records import Record, Split

WARM_UP = 3  # steps that are not timed
STEPS = 30  # timed ones, at least, unless they take longer than PROBE_SECONDS
FLOOR_SECONDS = 0.5  # steps of a millisecond are timed for this long, or their noise would be the answer
PROBE_SECONDS = 1.5
LINE_BYTES = 500  # of a record, where the probe saw none: those of language models have about as many
ENDLESS = 2**31  # steps: the timer ends the probe


@dataclass(frozen=True)
class Measured:
    """What a probe of a cell found."""

    step_seconds: float
    evaluation_seconds: float
    """Of a sample."""
    sizes: Mapping[str, int]
    """Samples of each split."""
    start_seconds: float
    """From the fork to the first step, and from the last record to the process's end."""
    record_bytes: int
    """Of a line of metrics.jsonl."""
    facts_bytes: int
    """Of run.json."""
    checkpoint_bytes: int
    resident_bytes: int
    """Peak memory of the process."""
    allocated_bytes: int
    """The most that was allocated on a CUDA device; 0 on a CPU."""
    steps: int

    def evaluations(self, config: RunConfig) -> int:
        """How many evaluations on validation a run makes."""
        return -(-config.steps // config.eval_every)

    def seconds(self, config: RunConfig) -> float:
        """Of a whole run."""
        samples = self.evaluations(config) * self.sizes["validation"] + self.sizes["test"]
        samples += min(self.sizes["train"], config.eval_train_samples)
        training = config.steps * self.step_seconds + samples * self.evaluation_seconds
        return self.start_seconds + min(training, config.max_seconds or training)

    def file_bytes(self, config: RunConfig, *, keeps_checkpoint: bool) -> int:
        """Of a run's folder: its records, run.json, a result.json of about the same length, and the checkpoint."""
        records = config.steps // config.record_every + self.evaluations(config) + 2
        step_times = 4 * config.steps  # the checkpoint's clock keeps one number a step
        kept = self.checkpoint_bytes + step_times if keeps_checkpoint else 0
        return records * self.record_bytes + 2 * self.facts_bytes + kept


def nothing(pipe: Any, began: float) -> None:
    """The body of a process that shows that the server is ready."""
    with suppress(OSError):
        pipe.send((True, time.monotonic()))


def child(pipe: Any, config: RunConfig, environment: Mapping[str, str], began: float) -> None:
    """The body of a probe's process. The terminal's Ctrl-C does not reach it: who started it ends it."""
    with suppress(OSError):
        os.setpgid(0, 0)
    os.environ.update(environment)
    silence()
    with suppress(OSError):  # nobody waits for the answer any more
        found = answer(config, began)
        pipe.send((found, time.monotonic()))


def silence() -> None:
    """What a run prints goes to its log; a probe has none."""
    handle = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def answer(config: RunConfig, began: float) -> dict[str, Any] | OptbenchError:
    """The fields of Measured, or why the run cannot be done; what would make it fail is ExpectationFailed (exit 3)."""
    try:
        return asdict(measured(config, began))
    except OptbenchError as error:
        return error
    except Exception as error:
        return ExpectationFailed(f"its first steps fail: {type(error).__name__}: {first_line(error)}")


class Enough(Exception):
    """The steps are timed."""


class Timer:
    """Times the steps of a trainer after its first ones, and stops it."""

    def __init__(self) -> None:
        self.first = self.last = 0.0
        self.steps = 0

    def __call__(self, trainer: Any) -> None:
        """Called after every step."""
        step = trainer.progress.step
        if step == WARM_UP:
            self.first = now(trainer.device)
        if step <= WARM_UP:
            return
        self.steps = step - WARM_UP
        seconds = time.perf_counter() - self.first
        if seconds >= PROBE_SECONDS or (self.steps >= STEPS and seconds >= FLOOR_SECONDS):
            self.last = now(trainer.device)
            raise Enough

    @property
    def seconds(self) -> float:
        """Of all timed steps."""
        return self.last - self.first

    @property
    def step_seconds(self) -> float:
        """Of a step, what is recorded included."""
        return self.seconds / self.steps


def now(device: Any) -> float:
    """The time when the device has done everything that it was given."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
    return time.perf_counter()


def measured(config: RunConfig, began: float) -> Measured:
    """A run's beginning and what ends it, which together say what the whole takes."""
    from optbench.sessions.assemble import assemble
    from optbench.sessions.run_documents import run_facts
    from optbench.training.memory import resident_peak_bytes

    timer = Timer()
    objects = assemble(config, timer)
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
    return Measured(
        step_seconds=timer.step_seconds,
        evaluation_seconds=per_sample,
        sizes=dict(objects.data.sizes),
        start_seconds=stepped - began - timer.seconds + ended - evaluated,
        record_bytes=lines[-1],
        facts_bytes=len(facts),
        checkpoint_bytes=checkpoint,
        resident_bytes=resident_peak_bytes() or 0,
        allocated_bytes=peak_bytes(objects.device),
        steps=timer.steps,
    )


def line_bytes(record: Record) -> int:
    """The length of a record's line in metrics.jsonl."""
    return len(json.dumps(record.as_row())) + 1


def evaluation_seconds(objects: Any) -> float:
    """Seconds a sample, by an evaluation on validation: of all of it, or of one batch where that takes long."""
    evaluator, count = objects.trainer.evaluator, objects.data.sizes["validation"]
    batch = min(count, evaluator.batch_size)
    seconds = timed(lambda: evaluator.scores(str(Split.VALIDATION), batch), objects.device)
    if seconds * count / batch > PROBE_SECONDS:
        return seconds / batch
    return timed(lambda: evaluator.scores(str(Split.VALIDATION)), objects.device) / count


def timed(call: Callable[[], Any], device: Any) -> float:
    """The seconds that a call takes."""
    began = now(device)
    call()
    return now(device) - began


class Counted:
    """A file that forgets everything but its length."""

    def __init__(self) -> None:
        self.length = 0

    def write(self, data: Any) -> int:
        """Count."""
        size = memoryview(data).nbytes
        self.length += size
        return size

    def flush(self) -> None:
        """Nothing is kept back."""


def checkpoint_bytes(trainer: Any) -> int:
    """The length of a checkpoint: parameters, optimizer state, random state."""
    import torch

    counted = Counted()
    torch.save(trainer.state_dict(), counted)
    return counted.length


def peak_bytes(device: Any) -> int:
    """The most that was allocated on a CUDA device; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    import torch

    return torch.cuda.max_memory_allocated(device)
