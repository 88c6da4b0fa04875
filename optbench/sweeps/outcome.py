"""The result of a sweep, for the command line and for Python."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.errors import ExpectationFailed

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)


def result_tree(scheduler: Scheduler) -> dict[str, Any]:
    """Return the result of a study as plain data. Raise the first refusal if no run could be started."""
    from optbench.sweeps.display import summary

    if scheduler.refusals and len(scheduler.failures()) == len(scheduler.planned_runs):
        raise scheduler.refusals[0]
    tree = summary.summary_of(scheduler)
    if scheduler.ran == 0:
        log.warning(f"{scheduler.study.name}: all {tree['runs']['planned']} runs are already finished")
    return tree


def conclude(scheduler: Scheduler, tree: Mapping[str, Any]) -> ExpectationFailed | None:
    """Log the result to W&B. Return the error of the runs that did not succeed, if any."""
    from optbench.sweeps.display import wandb_summary
    from optbench.sweeps.study.outcomes import status_counts

    wandb_summary.track(scheduler, tree)
    failures = scheduler.failures()
    if not failures:
        return None
    words = ", ".join(f"{count} {status}" for status, count in status_counts(failures).items())
    said = f"{len(failures)} of {tree['runs']['planned']} runs did not succeed: {words}"
    return ExpectationFailed(said, retry_hint(failures))


def retry_hint(failures: Sequence[Any]) -> str:
    """Return the option that reruns what may succeed the next time. A diverged run would diverge again."""
    from optbench.records import Status

    again = sorted(
        {f.status for f in failures} & {str(s) for s in (Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT)}
    )
    return f"Rerun them with --retry {','.join(again)}" if again else ""
