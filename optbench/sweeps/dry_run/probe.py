"""What a run of every cell takes: a few steps of it, timed in a process of its own, as a worker would do them."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from optbench.config import RunConfig
from optbench.config.runconfig import short_hash
from optbench.errors import ExpectationFailed, Interrupted, OptbenchError
from optbench.sweeps.dry_run.probe_worker import Measured, child, nothing
from optbench.sweeps.study.cells import Cell

log = logging.getLogger(__name__)

MOST = 12  # distinct cells that are each probed for themselves
LENGTH = ("seed", "steps", "samples", "eval_every", "target", "stop_at_target", "max_seconds")
"""Keys that say how long a run is, not what a step of it takes."""
HYPERPARAMETERS = ("schedule", "clip")
Answer = Measured | OptbenchError


def probe(cells: Sequence[Cell], places: Sequence[str | None] = (None,)) -> dict[int, Answer]:
    """What a run of every cell takes, by the cell's number, or why it cannot be run. `places` are the CUDA devices of
    the runs at a time, None for the machine as it is."""
    from optbench.sweeps.executors.local import fork_server

    key = fine_key if len({fine_key(cell.mildest) for cell in cells}) <= MOST else coarse_key
    if key is coarse_key:
        log.info(f"more than {MOST} different cells: those that differ in hyperparameters alone share a probe")
    answers: dict[str, Answer] = {}
    context = fork_server([cell.mildest for cell in cells])
    for cell in cells:
        name = key(cell.mildest)
        if name not in answers:
            answers[name] = probe_cell(context, cell.mildest, places)
            log.info(f"probing {cell.label}: {words(answers[name])}")
    return {cell.number: answers[key(cell.mildest)] for cell in cells}


def server_seconds(cells: Sequence[Cell]) -> float:
    """Start the server that forks the workers; the seconds until it has imported what they need."""
    from optbench.sweeps.executors.local import fork_server, warm_up

    began, configs = time.monotonic(), [cell.config for cell in cells]
    warm_up(configs)
    served(fork_server(configs), nothing, [()])
    return time.monotonic() - began


def fine_key(config: RunConfig) -> str:
    """Equal for runs whose steps are the same, whatever their number."""
    return short_hash({k: v for k, v in config.identity.items() if k not in LENGTH})


def coarse_key(config: RunConfig) -> str:
    """Equal for runs that differ in hyperparameters alone."""
    kept = {k: v for k, v in config.identity.items() if k not in (*LENGTH, *HYPERPARAMETERS)}
    for group in kept.keys() & {"optimizer", "optimizer_d"}:
        kept[group] = {k: v for k, v in kept[group].items() if k in ("name", "impl")}
    return short_hash(kept)


def words(answer: Answer) -> str:
    """What a probe found, in a few words."""
    if isinstance(answer, OptbenchError):
        return f"cannot be run: {answer.args[0]}"
    return f"{1e3 * answer.step_seconds:.3g} ms a step"


# -- processes -------------------------------------------------------------------------------------------------------


def probe_cell(context: Any, config: RunConfig, places: Sequence[str | None]) -> Answer:
    """One probe in a process of its own at every place, all at once, since runs beside one another slow one another
    down; the processes are gone when this returns."""
    environments = [{} if place is None else {"CUDA_VISIBLE_DEVICES": place} for place in places]
    found = served(context, child, [(config, environment) for environment in environments])
    answers = [answer for answer, _ in found]
    refused = next((answer for answer in answers if isinstance(answer, OptbenchError)), None)
    if refused is not None:
        return refused
    if None in answers:
        return ExpectationFailed("a process died in the probe")
    leaving = sum(seconds for _, seconds in found) / len(found)
    mean = averaged([Measured(**answer) for answer in answers])
    return replace(mean, start_seconds=mean.start_seconds + leaving)


def averaged(found: Sequence[Measured]) -> Measured:
    """The means of the times, the greatest of the rest."""
    times = ("step_seconds", "evaluation_seconds", "start_seconds")
    most = ("record_bytes", "facts_bytes", "checkpoint_bytes", "resident_bytes", "allocated_bytes", "steps")
    means = {name: sum(getattr(one, name) for one in found) / len(found) for name in times}
    return replace(found[0], **means, **{name: max(getattr(one, name) for one in found) for name in most})


def served(context: Any, body: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[tuple[Any, float]]:
    """What the body of a forked process sends for each of these arguments, all at once, and the seconds from then to
    its end; None where it sent nothing.

    Raises Interrupted after Ctrl-C."""
    begun = []
    try:
        for values in arguments:
            begun.append(Forked(context, body, *values))
        return [one.answer() for one in begun]
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGINT, "interrupted: the plan is not complete, and nothing was run") from None
    finally:
        for one in begun:
            one.end()


class Forked:
    """A process of the fork server that answers once."""

    def __init__(self, context: Any, body: Callable[..., None], *arguments: Any) -> None:
        self.pipe, theirs = context.Pipe()
        began = time.monotonic()
        self.process = context.Process(target=body, args=(theirs, *arguments, began), name="optbench-probe")
        self.process.start()
        theirs.close()

    def answer(self) -> tuple[Any, float]:
        """What it sends, and how long it took to end after that; None where it ended without a word."""
        found, sent = None, time.monotonic()
        with suppress(EOFError):
            found, sent = self.pipe.recv()
        self.process.join()
        return found, time.monotonic() - sent

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()
