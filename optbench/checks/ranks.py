"""Checks that two ranks train as one rank does: a short training of a small network, with gloo on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from optbench import config as configuration
from optbench.checks.result import CheckResult, Observation, differs, not_applicable, passes
from optbench.checks.subject import OWN_SCHEDULE, make_subject
from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.store import RunFolder
from optbench.store.private import scratch_prefix

RANKS = 2
WORKLOAD = ("model=mlp", "data=digits", "batch_size=63", "threads=1", "device=cpu")  # 63: ranks get unequal shares
LENGTH = ("steps=8", "eval_every=8", "record_every=1", "eval_train_samples=64", "tracker=none", "keep_checkpoint=false")
TOLERANCE = 0.02  # float sums run in another order; an eigenbasis or bfloat16 amplifies that
STRATEGY_TOLERANCE = 1e-4  # between two strategies on the same number of ranks
STRATEGIES = ("ddp", "fsdp")


def distributed(config: RunConfig) -> Iterator[CheckResult]:
    """Yield one result for "ddp" and one for "fsdp".

    Compares the losses of a few steps on two ranks with those on one, as a share of the fall of the loss, and FSDP with
    DDP more closely. A refusal with a reason is not applicable. Weights are not compared: in directions without a
    gradient, SOAP's step is the sign of a rounding error."""
    subject, small = make_subject(config, ""), small_run(config)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        root = Path(folder)
        one = losses(replace(small, devices=1), root / "one")
        found: dict[str, list[float]] = {}
        for strategy in STRATEGIES:
            run = replace(small, devices=RANKS, strategy=strategy)
            state, detail = compare(lambda r=run, s=strategy: losses(r, root / s), one, found, strategy)
            yield CheckResult(strategy, state, detail, subject.declared_difference(strategy))


def small_run(config: RunConfig) -> RunConfig:
    """Return a run of a few seconds with this optimizer and its modifiers."""
    constant = ["schedule=constant"] if OWN_SCHEDULE in config.optimizer.about.get("needs", ()) else []
    base = configuration.load([*WORKLOAD, *LENGTH, *constant])
    return replace(base, optimizer=config.optimizer, modifiers=config.modifiers)


def losses(config: RunConfig, root: Path) -> list[float]:
    """Run and return the training loss of every step and the final validation loss."""
    ended = execute(config, root)
    if ended.result["reason"]:
        raise RuntimeError(f"{ended.result['status']}: {ended.result['reason']}")
    rows = RunFolder(root, ended.folder.parent.name, ended.folder.name).records()
    return [row[key] for key in ("train_loss", "val_loss") for row in rows if key in row]


def compare(
    measure: Callable[[], list[float]], one: list[float], found: dict[str, list[float]], strategy: str
) -> Observation:
    """Compare a strategy's losses with those of one rank and of the strategies in `found`; add them to `found`."""
    try:
        own = found[strategy] = measure()
    except ConfigError as refusal:
        return not_applicable(str(refusal).splitlines()[0])
    share = distance(own, one)
    detail = f"losses differ from one rank's by up to {share:.1g} of the fall of the loss"
    if not share <= TOLERANCE:
        return differs(detail)
    for name, other in found.items():
        if not distance(own, other) <= STRATEGY_TOLERANCE:
            return differs(f"{detail}, and from those of {name} by {distance(own, other):.1g}")
    return passes(detail)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the largest difference of two sequences of losses, as a share of the largest change in the second."""
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) / max(abs(y - b[0]) for y in b)
