"""What does an optimizer cost on several ranks?

    optbench bench ranks model=mlp optimizers=adamw,muon ranks=2 threads=1

Trains the same short run on one rank; on several with DDP, where every rank takes the whole step; and with FSDP2, where
each rank updates its own rows, or its share of whole tensors (Adafactor, Muon, Shampoo, SOAP). Times are those of
rank 0; gathering whole tensors counts as optimizer time. On a CPU the ranks share its cores: use threads=1 and no more
ranks than cores.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from optbench.benches import Report
from optbench.benches.fit import chosen_optimizers
from optbench.config import RunConfig
from optbench.distributed.layouts import layout_of, sharding_obstacles
from optbench.errors import ConfigError
from optbench.sessions.session import execute
from optbench.store.private import scratch_prefix
from optbench.trackers.console import size

log = logging.getLogger(__name__)


def measure(
    config: RunConfig, optimizers: str = "adamw,adafactor,muon,shampoo,soap", ranks: int = 2, steps: int = 40
) -> Report:
    """Return the milliseconds per step and bytes of state for each optimizer and strategy.

    `optimizers`: names separated by commas. `ranks`: number of ranks. `steps`: steps of each run."""
    if ranks < 2:
        raise ConfigError(f"ranks={ranks}: a comparison needs 2 or more")
    config = dataclasses.replace(
        config, steps=steps, eval_every=steps + 1, record_every=steps, tracker="none", keep_checkpoint=False,
        eval_train_samples=1,
    )  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        for choice in chosen_optimizers(config, optimizers):
            log.info(f"measuring {choice.name}")
            run = dataclasses.replace(config, optimizer=choice)
            for setup in setups(run, ranks):
                rows.append(measure_setup(setup, Path(folder) / choice.name / setup.strategy, run))
    return {
        "workload": f"{config.model.name}-{config.data.name}",
        "device": config.device,
        "ranks": ranks,
        "rows": rows,
    }


@dataclasses.dataclass(frozen=True)
class RankSetup:
    """A number of ranks, and how they share the work."""

    strategy: str
    """ "one", "ddp" or "fsdp"."""
    ranks: int
    layout: str = ""
    """The unit that FSDP2 distributes: rows or whole tensors."""


def setups(config: RunConfig, ranks: int) -> Iterator[RankSetup]:
    """Yield one rank, then several with every strategy that the optimizer allows."""
    yield RankSetup("one", 1)
    yield RankSetup("ddp", ranks)
    if not list(sharding_obstacles(config)):
        yield RankSetup("fsdp", ranks, layout_of(config, config.optimizer))


def measure_setup(setup: RankSetup, root: Path, config: RunConfig) -> Report:
    """Train one run and return its times and sizes."""
    strategy = None if setup.strategy == "one" else setup.strategy
    result = execute(dataclasses.replace(config, devices=setup.ranks, strategy=strategy), root).result
    return {
        "optimizer": config.optimizer.name,
        "way": setup.strategy,
        "layout": setup.layout,
        "step_ms": 1e3 * result["train_seconds"] / result["steps"],
        "optimizer_ms": 1e3 * result["seconds"]["optimizer"] / result["steps"],
        "state_bytes": sum(result["bytes"]["optimizer_state"].values()),
        "parameter_bytes": result["bytes"]["parameters"],
    }


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    head = f"{report['workload']} on 1 and on {report['ranks']} ranks: milliseconds per step and state of rank 0"
    names = f"  {'optimizer':<12}{'strategy':<10}{'shards':<10}{'step ms':>10}{'optimizer ms':>14}"
    names += f"{'/ one rank':>12}{'/ ddp':>10}{'state':>12}"
    return [head, names, *(line(row, report["rows"]) for row in report["rows"])]


def line(row: Report, rows: Sequence[Report]) -> str:
    """Return a row as text, with its optimizer time divided by that on one rank and with DDP."""
    own = {other["way"]: other["optimizer_ms"] for other in rows if other["optimizer"] == row["optimizer"]}
    against = [way for way in ("one", "ddp") if row["way"] not in (way, "one")]
    ratios = {way: f"{row['optimizer_ms'] / own[way]:.2f} x" for way in against}
    return (
        f"  {row['optimizer']:<12}{row['way']:<10}{row['layout']:<10}"
        f"{row['step_ms']:>10.2f}{row['optimizer_ms']:>14.2f}"
        f"{ratios.get('one', ''):>12}{ratios.get('ddp', ''):>10}{size(row['state_bytes']):>12}"
    )
