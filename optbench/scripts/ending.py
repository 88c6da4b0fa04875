"""How a script ended: its status with the reason, and what is to be said beside its result."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping, Sequence

from optbench.config import RunConfig
from optbench.errors import is_out_of_memory
from optbench.records import Status
from optbench.scripts.commands import placeholders
from optbench.scripts.job import Event

HANDLED = ("script", "model", "task", "data", "optimizer", "max_seconds", "tracker", "wandb_project", "threads")
HANDLED += ("target", "stop_at_target", "record_every", "keep_checkpoint", "device")
"""Keys that optbench itself heeds for a script; any other works only if the script reads it."""
Ending = tuple[Status, str]


def of_failure(code: int, error: Event | None, last: str) -> Ending | None:
    """Return the ending of a script that did not exit with 0, else None.

    `error` is what `attach` reported, `last` the last line of the output."""
    if code == 0 and error is None:
        return None
    if error is not None:
        memory, reason = bool(error.get("memory")), str(error.get("reason"))[:500]
        return (Status.OUT_OF_MEMORY if memory else Status.FAILED), reason
    if code < 0:
        return Status.FAILED, f"the script was killed by {signal_name(-code)}"
    if is_out_of_memory(RuntimeError(last)) or last.rpartition(": ")[2].startswith("MemoryError"):
        return Status.OUT_OF_MEMORY, last
    return Status.FAILED, f"exit code {code}: {last}" if last else f"exit code {code}, without a word"


def of_result(final: Mapping[str, float], problem: str) -> Ending:
    """Return the ending of a script that exited with 0; `problem` says why it has no metric."""
    if problem:
        return Status.FAILED, problem
    if not math.isfinite(final["val_metric"]):
        return Status.DIVERGED, f"the validation metric is {final['val_metric']}"
    return Status.COMPLETED, ""


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_optimizer_used(config: RunConfig, used: Sequence[str]) -> bool:
    """Return True if the script took the optimizer, or gets a value of it as an argument."""
    keys = {key.partition(".")[0] for key in placeholders(config)}
    return bool({"optimizer", *(modifier.name for modifier in config.modifiers)} & {*keys, *used})


def notes(config: RunConfig, used: Sequence[str], *, counts_steps: bool = True) -> list[str]:
    """Return what is to be said of a result: keys that were set, and that the script never read.

    `counts_steps`: False for curves that are numbered by epochs, or not at all."""
    read = {*used, *(key.partition(".")[0] for key in placeholders(config)), *HANDLED}
    read |= {modifier.name for modifier in config.modifiers}
    typed = [text.partition("=")[0].lstrip("+").partition(".")[0] for text in config.overrides]
    unread = [key for key in dict.fromkeys(typed) if key not in read]
    found: list[str] = []
    evaluations = config.optimizer.about.get("evaluations", 1)
    if "steps" not in read and ("steps" in unread or evaluations != 1):
        found.append("the script never reads run.steps: equal budgets can't be shown")
    if not counts_steps:
        found.append("the script names no optimizer steps: its curves are by epoch or row")
    if "seed" in unread:
        found.append("the script never reads run.seed: its seeds can't be repeated")
    others = [key for key in unread if key not in ("steps", "seed")]
    if "optimizer" not in used:  # it has only what its arguments say
        keys = [text.partition("=")[0].lstrip("+") for text in config.overrides]
        others += [
            key for key in dict.fromkeys(keys) if key.startswith("optimizer.") and key not in placeholders(config)
        ]
    if others:
        found.append(f"set, but never read by the script: {', '.join(others)}")
    return found
