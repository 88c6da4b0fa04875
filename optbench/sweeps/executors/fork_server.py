"""The server that forks workers: it has imported the heavy packages once, so that a run starts in milliseconds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from optbench.config import RunConfig
from optbench.sweeps.executors.signals import ignoring_interrupts

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

PRELOADED = (
    "optbench.sessions.session",
    "optbench.sweeps.executors.worker",
    "torch._inductor",
    "torch.utils.flop_counter",
)


def fork_server(configs: Sequence[RunConfig]) -> ForkServerContext:
    """Return a context whose server imports what these runs need. It computes nothing and touches no device: a fork of
    a process with running thread pools could hang."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded(configs))
    return context


def warm_up(configs: Sequence[RunConfig]) -> None:
    """Start the server, which imports while the sweep is still being planned."""
    from multiprocessing import forkserver

    fork_server(configs)
    with ignoring_interrupts():
        forkserver.ensure_running()


def preloaded(configs: Iterable[RunConfig]) -> list[str]:
    """Return the modules to import: the session, those of the choices, and the heavy packages that they import late."""
    modules = {*PRELOADED}
    for config in configs:
        for choice in (*config.choices.values(), *config.modifiers):
            module = choice.target.rpartition(".")[0]
            modules |= {module} if module and "/" not in module and ":" not in module else set()
            modules |= set(choice.about.get("imports", ()))
        task = str(config.model.settings.get("task", {}).get("target", ""))
        modules |= {task.rpartition(".")[0]} if task else set()
    return sorted(module for module in modules if module)
