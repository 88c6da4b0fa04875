"""What an optimizer costs on several ranks: the same run on one, on several by DDP, where every rank does the whole
step, and by FSDP2, where each trains its own rows, or its share of whole tensors (Adafactor, Muon, Shampoo, SOAP).

Short runs, one after another, of the same configuration; times are those of rank 0. What is gathered for the
sake of whole tensors counts to the optimizer. On a CPU the ranks share its cores: say threads=1, and no more ranks than
cores.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optbench.benches.fit import chosen
from optbench.config import RunConfig
from optbench.distributed.layouts import layout_of, sharding_obstacles
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.trackers.console import size

log = logging.getLogger(__name__)

SETTINGS = {"optimizers": "adamw,adafactor,muon,shampoo,soap", "ranks": 2, "steps": 40}
"""What the command line may say: names separated by commas, how many ranks, how many steps of each run."""


def measure(config: RunConfig, optimizers: str, ranks: int, steps: int) -> dict[str, Any]:
    """Milliseconds a step and bytes of state, for each optimizer and way."""
    if ranks < 2:
        raise ConfigError(f"ranks={ranks}: a comparison needs 2 or more")
    config = dataclasses.replace(
        config, steps=steps, eval_every=steps + 1, record_every=steps, tracker="none", keep_checkpoint=False,
        eval_train_samples=1,
    )  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory(prefix="optbench-bench-") as folder:
        for choice in chosen(config, optimizers):
            log.info(f"measuring {choice.name}")
            under = dataclasses.replace(config, optimizer=choice)
            rows += [measured(way, Path(folder) / choice.name / way.strategy, under) for way in ways(under, ranks)]
    return {
        "workload": f"{config.model.name}-{config.data.name}",
        "device": config.device,
        "ranks": ranks,
        "rows": rows,
    }


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to run it."""

    strategy: str
    ranks: int
    layout: str = ""


def ways(config: RunConfig, ranks: int) -> Iterator[Way]:
    """One rank, then several by every strategy that the optimizer allows."""
    yield Way("one", 1)
    yield Way("ddp", ranks)
    if not list(sharding_obstacles(config)):
        yield Way("fsdp", ranks, layout_of(config, config.optimizer))


def measured(way: Way, root: Path, config: RunConfig) -> dict[str, Any]:
    """One run in figures."""
    strategy = None if way.strategy == "one" else way.strategy
    result = execute(dataclasses.replace(config, devices=way.ranks, strategy=strategy), root).result
    return {
        "optimizer": config.optimizer.name,
        "way": way.strategy,
        "layout": way.layout,
        "step_ms": 1e3 * result["train_seconds"] / result["steps"],
        "optimizer_ms": 1e3 * result["seconds"]["optimizer"] / result["steps"],
        "state_bytes": sum(result["bytes"]["optimizer_state"].values()),
        "parameter_bytes": result["bytes"]["parameters"],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    head = f"{found['workload']}: rank 0 of {found['ranks']}, milliseconds a step and what it holds"
    names = f"  {'optimizer':<12}{'way':<8}{'trains':<10}{'step':>10}{'optimizer':>11}"
    names += f"{'of one':>10}{'of ddp':>10}{'state':>12}"
    return [head, names, *(line(row, found["rows"]) for row in found["rows"])]


def line(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """A row in print: its optimizer's time against that of the same optimizer on one rank, and by DDP."""
    own = {other["way"]: other["optimizer_ms"] for other in rows if other["optimizer"] == row["optimizer"]}
    against = [way for way in ("one", "ddp") if row["way"] not in (way, "one")]
    ratios = {way: f"{row['optimizer_ms'] / own[way]:.2f} x" for way in against}
    return (
        f"  {row['optimizer']:<12}{row['way']:<8}{row['layout']:<10}{row['step_ms']:>10.2f}{row['optimizer_ms']:>11.2f}"
        f"{ratios.get('one', ''):>10}{ratios.get('ddp', ''):>10}{size(row['state_bytes']):>12}"
    )
