"""The server that forks workers: it has imported the heavy packages once, so that a run starts in milliseconds.

Where it is killed, it is started again; the workers that it has forked go on without it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import ModuleType
from typing import TYPE_CHECKING

from optbench.config import RunConfig
from optbench.config.sources import is_installed
from optbench.errors import MissingError
from optbench.sweeps.executors.scratch import use_scratch_folder
from optbench.sweeps.executors.signals import ignoring_interrupts
from optbench.training.cpu import choose_waiting

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess

PRELOADED = ("optbench.sessions.execute", "optbench.sessions.sinks", "optbench.sweeps.executors.worker", "filelock")
FOR_TRAINING = (  # by a run itself: a training script is a process of its own
    "optbench.sessions.session",
    "torch._inductor",
    "torch.utils.flop_counter",
    "torch.utils.serialization.config",
)
FIRST = "optbench.sweeps.executors.before_imports"
LAST = "optbench.sessions.before_fork"  # does what every run would do again

SAFE_PATH, OURS = "PYTHONSAFEPATH", "optbench"  # Python's variable, and our value; workers delete it
STARTS = 12  # tries to fork a process, each with a new server where the last one was killed
PAUSE_SECONDS = 0.1  # after the first try; it grows up to ten times as long


def fork_server(configs: Sequence[RunConfig]) -> ForkServerContext:
    """Return a context whose server imports what these runs need. It starts no thread and touches no device: a fork of
    a process with running thread pools could hang."""
    use_scratch_folder()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded(configs))
    return context


def warm_up(configs: Sequence[RunConfig], jobs: int | None = None) -> None:
    """Start the server, which imports while the sweep is still being planned. `jobs`: runs at once, where given."""
    from multiprocessing import forkserver

    fork_server(configs)
    choose_waiting((jobs or 1) * max((config.threads for config in configs), default=1))
    with ignoring_interrupts(), same_path():
        forkserver.ensure_running()


def forked(
    context: ForkServerContext, name: str, body: Callable[..., None], *arguments: object
) -> tuple[ForkServerProcess, Connection]:
    """Fork a process that runs `body(pipe, *arguments)`; return it, and our end of the pipe.

    Raises MissingError if no server lives long enough. A process that was forked by a server which was killed before it
    said so finds its pipe closed, and ends."""
    from multiprocessing import forkserver

    problem = ""
    for number in range(STARTS):
        ours, theirs = context.Pipe()
        process = context.Process(target=body, args=(theirs, *arguments), name=name)
        try:
            with same_path(), without_main():
                process.start()
        except (EOFError, OSError) as error:
            problem = str(error) or "it was killed"
            ours.close()
            time.sleep(PAUSE_SECONDS * min(2**number, 10))  # a killed server takes a moment to end
            with ignoring_interrupts(), same_path():
                forkserver.ensure_running()
        else:
            return process, ours
        finally:
            theirs.close()
    raise MissingError(f"the fork server cannot start a process: {problem}", "Run the same command again to continue")


@contextmanager
def same_path() -> Iterator[None]:
    """Let a server import modules from the working folder first only if this process does; `python -c` always would."""
    here = {"", os.getcwd()} if os.path.isdir(".") else {""}  # a deleted folder has no name
    if SAFE_PATH in os.environ or here & set(sys.path[:1]):
        yield
        return
    os.environ[SAFE_PATH] = OURS
    try:
        yield
    finally:
        del os.environ[SAFE_PATH]


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes that leave the main module alone. multiprocessing would import it again in each of them: a script
    that sweeps would sweep there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def preloaded(configs: Iterable[RunConfig]) -> list[str]:
    """Return the modules to import: the session, those of the choices, and the heavy packages that they import late."""
    modules = set(PRELOADED)
    known = list(configs)
    training = [config for config in known if not config.has_own_session]
    for config in known:
        task = str(config.model.settings.get("task", {}).get("target", ""))
        modules |= {task.rpartition(".")[0]} if task else set()
    for config in training:
        modules |= {*FOR_TRAINING}
        for choice in (*config.choices.values(), *config.modifiers):
            module = choice.target.rpartition(".")[0]
            modules |= {module} if module and "/" not in module and ":" not in module else set()
            modules |= {name for name in choice.about.get("imports", ()) if is_installed(name.partition(".")[0])}
    last = [LAST] if training or not known else []
    return [FIRST, *sorted(module for module in modules if module), *last]
