"""Does an optimizer do on two ranks what it does on one? A short training of a small network, by gloo on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from optbench import config as configuration
from optbench.checks.result import Finding, differs, not_applicable, passes
from optbench.checks.subject import subject_of
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.store import RunFolder

RANKS = 2
WORKLOAD = (
    "model=mlp",
    "data=digits",
    "batch_size=63",
    "threads=1",
    "device=cpu",
)  # a batch that does not divide evenly
LENGTH = ("steps=8", "eval_every=8", "record_every=1", "eval_train_samples=64", "tracker=none", "keep_checkpoint=false")
FLAT = "own_schedule"  # of an optimizer that allows a constant learning rate alone
TOLERANCE = 0.02  # float sums come in another order, of which an eigenbasis or bfloat16 makes more
SAME = 1e-4  # between two ways to hold the same sums on as many ranks
STRATEGIES = ("ddp", "fsdp")
Outcome = tuple[str, str]


def distributed(config: RunConfig) -> Iterator[Finding]:
    """A finding for "ddp" and one for "fsdp": the losses of a few steps on two ranks against those on one, as a share
    of what they fall; FSDP against DDP more closely. A refusal with a reason is not applicable. Losses, and no weights:
    in directions without a gradient, SOAP's step is the sign of a rounding."""
    subject, asked = subject_of(config, ""), small(config)
    with tempfile.TemporaryDirectory(prefix="optbench-check-") as folder:
        root = Path(folder)
        one = losses(replace(asked, devices=1), root / "one")
        found: dict[str, list[float]] = {}
        for strategy in STRATEGIES:
            state, detail = outcome(lambda s=strategy: losses(on_ranks(asked, s), root / s), one, found, strategy)
            yield Finding(strategy, state, detail, subject.declared(strategy))


def small(config: RunConfig) -> RunConfig:
    """The optimizer and its modifiers on a workload of seconds."""
    flat = ["schedule=constant"] if FLAT in config.optimizer.about.get("needs", ()) else []
    base = configuration.load([*WORKLOAD, *LENGTH, *flat])
    return replace(base, optimizer=config.optimizer, modifiers=config.modifiers)


def on_ranks(config: RunConfig, strategy: str) -> RunConfig:
    """The same run on RANKS ranks."""
    return replace(config, devices=RANKS, strategy=strategy)


def losses(config: RunConfig, root: Path) -> list[float]:
    """The training loss of every step, and that on validation at the end."""
    ended = execute(config, root)
    if ended.result["reason"]:
        raise RuntimeError(f"{ended.result['status']}: {ended.result['reason']}")
    rows = RunFolder(root, ended.folder.parent.name, ended.folder.name).records()
    return [row[key] for key in ("train_loss", "val_loss") for row in rows if key in row]


def outcome(
    measure: Callable[[], list[float]], one: list[float], found: dict[str, list[float]], strategy: str
) -> Outcome:
    """What a strategy's losses say; they are kept in `found` for the next one."""
    try:
        own = found[strategy] = measure()
    except ConfigError as refusal:
        return not_applicable(str(refusal).splitlines()[0])
    apart = distance(own, one)
    said = f"losses up to {apart:.1g} of what they fall apart from one rank's"
    if not apart <= TOLERANCE:
        return differs(said)
    for name, other in found.items():
        if not distance(own, other) <= SAME:
            return differs(f"{said}, and {distance(own, other):.1g} from those of {name}")
    return passes(said)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """The largest difference of two courses of the loss, as a share of how far the second one moves."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(abs(y - b[0]) for y in b)
