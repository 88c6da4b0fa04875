"""What a run of every cell takes: a few steps of it, timed in a process of its own, as a worker would do them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from optbench.config import RunConfig
from optbench.config.runconfig import short_hash
from optbench.errors import Interrupted, NotHeld, OptbenchError
from optbench.sweep.cells import Cell
from optbench.sweep.rehearsal import Measured, child, nothing

MOST = 12  # distinct cells that are each probed for themselves
LENGTH = ("seed", "steps", "samples", "eval_every", "target", "stop_at_target", "max_seconds")
"""Keys that say how long a run is, not what a step of it takes."""
HYPERPARAMETERS = ("schedule", "clip")


Answer = Measured | OptbenchError


def probe(cells: Sequence[Cell], notice: Callable[[str], None], devices: Sequence[str] = ()) -> dict[int, Answer]:
    """What a run of every cell takes, by the cell's number, or why it cannot be run."""
    from optbench.sweep.local import fork_server

    key = fine_key if len({fine_key(cell.config) for cell in cells}) <= MOST else coarse_key
    if key is coarse_key:
        notice(f"more than {MOST} different cells: those that differ in hyperparameters alone share a probe")
    environment = {"CUDA_VISIBLE_DEVICES": devices[0]} if devices else {}
    answers: dict[str, Answer] = {}
    context = fork_server([cell.config for cell in cells])
    for cell in cells:
        name = key(cell.config)
        if name not in answers:
            answers[name] = probe_cell(context, cell.config, environment)
            notice(f"probing {cell.label}: {words(answers[name])}")
    return {cell.number: answers[key(cell.config)] for cell in cells}


def server_seconds(cells: Sequence[Cell]) -> float:
    """Start the server that forks the workers; the seconds until it has imported what they need."""
    from optbench.sweep.local import fork_server, warm_up

    began, configs = time.monotonic(), [cell.config for cell in cells]
    with deaf():
        warm_up(configs)
    served(fork_server(configs), nothing)
    return time.monotonic() - began


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started here do not hear Ctrl-C, not even while they import: their parent ends them."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


# -- the side of the command ---------------------------------------------------------------------------------------


def probe_cell(context: Any, config: RunConfig, environment: Mapping[str, str]) -> Answer:
    """One probe in a process of its own, which is gone when this returns."""
    found, leaving = served(context, child, config, environment, time.monotonic())
    if isinstance(found, OptbenchError):
        return found
    if found is None:
        return NotHeld("its process died in the probe")
    return Measured(**{**found, "start_seconds": found["start_seconds"] + leaving})


def served(context: Any, body: Callable[..., None], *arguments: Any) -> tuple[Any, float]:
    """What the body of a forked process sends, and the seconds from then to its end; None where it sent nothing.

    Raises Interrupted after Ctrl-C."""
    ours, theirs = context.Pipe()
    process = context.Process(target=body, args=(theirs, *arguments), name="optbench-probe")
    found = None
    try:
        process.start()
        theirs.close()
        with suppress(EOFError):
            found = ours.recv()
        sent = time.monotonic()
        process.join()
        return found, time.monotonic() - sent
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGINT, "interrupted: the plan is not complete, and nothing was run") from None
    finally:
        if process.pid is not None and process.is_alive():
            process.kill()
            process.join()
        ours.close()
