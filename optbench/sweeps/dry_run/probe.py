"""The time, memory and disk of a run of every cell: a few steps, timed in worker processes."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.config.runconfig import short_hash
from optbench.errors import ExpectationFailed, Interrupted, OptbenchError
from optbench.sweeps.dry_run.probe_worker import ProbeResult, probe_in_process, report_ready
from optbench.sweeps.executors.fork_server import fork_server, forked, warm_up
from optbench.sweeps.study.cells import Cell

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

log = logging.getLogger(__name__)

MAX_PROBES = 12  # with more different cells, similar ones share a probe
LENGTH = ("seed", "steps", "samples", "eval_every", "target", "stop_at_target", "max_seconds")
"""Keys that set the length of a run, not the time of a step."""
HYPERPARAMETERS = ("schedule", "clip")


def probe(
    cells: Sequence[Cell], root: Path, devices: Sequence[str | None] = (None,)
) -> dict[int, ProbeResult | OptbenchError]:
    """Return the probe of every cell by its number, or the error why it cannot be run.

    `root` is the results folder. `devices` are the CUDA devices of the runs that run at a time; None stands for the
    machine as it is."""
    key = fine_key if len({fine_key(cell.lowest_corner) for cell in cells}) <= MAX_PROBES else coarse_key
    if key is coarse_key:
        log.info(f"more than {MAX_PROBES} different cells: those that differ only in hyperparameters share a probe")
    results: dict[str, ProbeResult | OptbenchError] = {}
    context = fork_server([cell.lowest_corner for cell in cells])
    for cell in cells:
        name = key(cell.lowest_corner)
        if name not in results:
            results[name] = result = probe_cell(context, cell.lowest_corner, root, devices)
            refused = isinstance(result, OptbenchError)
            text = f"cannot be run: {result.args[0]}" if refused else f"{1e3 * result.step_seconds:.3g} ms per step"
            log.info(f"probing {cell.label}: {text}")
    return {cell.number: results[key(cell.lowest_corner)] for cell in cells}


def server_seconds(cells: Sequence[Cell]) -> float:
    """Start the fork server; return the seconds until it has imported what the runs need."""
    began, configs = time.monotonic(), [cell.config for cell in cells]
    warm_up(configs)
    run_processes(fork_server(configs), report_ready, [()])
    return time.monotonic() - began


def fine_key(config: RunConfig) -> str:
    """Return a hash that is equal for runs with the same steps, whatever their number."""
    return short_hash({k: v for k, v in config.identity.items() if k not in LENGTH})


def coarse_key(config: RunConfig) -> str:
    """Return a hash that is equal for runs that differ only in hyperparameters."""
    kept = {k: v for k, v in config.identity.items() if k not in (*LENGTH, *HYPERPARAMETERS)}
    for group in kept.keys() & {"optimizer", "optimizer_d"}:
        kept[group] = {k: v for k, v in kept[group].items() if k in ("name", "impl")}
    return short_hash(kept)


# -- processes -------------------------------------------------------------------------------------------------------


def probe_cell(
    context: ForkServerContext, config: RunConfig, root: Path, devices: Sequence[str | None]
) -> ProbeResult | OptbenchError:
    """Probe a cell on all devices at once, since runs beside one another slow one another down."""
    environments = [{} if device is None else {"CUDA_VISIBLE_DEVICES": device} for device in devices]
    found = run_processes(context, probe_in_process, [(config, root, environment) for environment in environments])
    answers = [answer for answer, _ in found]
    refused = next((answer for answer in answers if isinstance(answer, OptbenchError)), None)
    if refused is not None:
        return refused
    if None in answers:
        return ExpectationFailed("a process died in the probe")
    exit_seconds = sum(seconds for _, seconds in found) / len(found)
    mean = averaged([ProbeResult(**answer) for answer in answers])
    return replace(mean, start_seconds=mean.start_seconds + exit_seconds)


def averaged(found: Sequence[ProbeResult]) -> ProbeResult:
    """Return the means of the times, and the greatest of all other values."""
    times = ("step_seconds", "evaluation_seconds", "start_seconds")
    most = ("record_bytes", "facts_bytes", "checkpoint_bytes", "resident_bytes", "device_bytes", "steps")
    means = {name: sum(getattr(one, name) for one in found) / len(found) for name in times}
    return replace(found[0], **means, **{name: max(getattr(one, name) for one in found) for name in most})


def run_processes(
    context: ForkServerContext, body: Callable[..., None], arguments: Sequence[tuple[object, ...]]
) -> list[tuple[Any, float]]:
    """Run `body` in one forked process per arguments, all at once. Return what each sends (None if it dies), and the
    seconds from then to its end.

    Raises Interrupted after Ctrl-C."""
    processes: list[Forked] = []
    try:
        for values in arguments:
            processes.append(Forked(context, body, *values))
        return [process.answer() for process in processes]
    except KeyboardInterrupt:
        raise Interrupted(signal.SIGINT, "interrupted: the plan is incomplete, and nothing was run") from None
    finally:
        for process in processes:
            process.end()


class Forked:
    """A process of the fork server that sends one answer."""

    def __init__(self, context: ForkServerContext, body: Callable[..., None], *arguments: object) -> None:
        self.process, self.pipe = forked(context, "optbench-probe", body, *arguments, time.monotonic())

    def answer(self) -> tuple[Any, float]:
        """Return what the process sends (None if it dies), and the seconds it takes to end after that."""
        found, sent = None, time.monotonic()
        with suppress(EOFError):
            found, sent = self.pipe.recv()
        self.process.join()
        return found, time.monotonic() - sent

    def end(self) -> None:
        """Kill the process if it still runs."""
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()
