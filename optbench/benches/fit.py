"""The largest batch that fits into a given memory, optimizer by optimizer: what a thrifty optimizer is worth.

The bytes of a training step are measured on throwaway steps (see sessions/micro_batch.py): what is held whatever the batch
(parameters, gradients, optimizer state), and what each sample takes. Nothing is accumulated: a batch is at work
at once.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from optbench.config import Choice, RunConfig, load
from optbench.sessions import assemble, micro_batch
from optbench.trackers.console import size
from optbench.training.device import resolve_device
from optbench.training.seeding import seeds_of

log = logging.getLogger(__name__)

SETTINGS = {"optimizers": "", "memory": 0.0}
"""What the command line may say: names separated by commas (none: that of optimizer=), bytes (0: what is free)."""


def measure(config: RunConfig, optimizers: str = "", memory: float = 0.0) -> dict[str, Any]:
    """Bytes by kind, and the largest batch, for each optimizer."""
    device, seeds = resolve_device(config.device), seeds_of(config.seed)
    assemble.prepare(config, seeds)
    data = assemble.load_data(config, device, seeds)
    limit = micro_batch.limit_bytes(memory or config.memory_limit, device)
    rows = []
    for choice in chosen(config, optimizers):
        log.info(f"measuring {choice.name}")
        under = dataclasses.replace(config, optimizer=choice)
        need = micro_batch.measure_need(lambda under=under: assemble.build_trainer(under, data, device, seeds, None))
        rows.append(
            {
                "optimizer": choice.name,
                **dataclasses.asdict(need),
                "held": need.held,
                "largest_batch": need.largest_batch(limit),
            }
        )
    return {
        "workload": f"{config.model.name}-{config.data.name}",
        "model": dict(config.model.settings),
        "device": device.type,
        "precision": config.precision,
        "memory": limit,
        "rows": rows,
    }


def chosen(config: RunConfig, optimizers: str) -> list[Choice]:
    """The optimizers by name, as their files pin them; that of the configuration where none is named."""
    names = [name.strip() for name in optimizers.split(",") if name.strip()]
    return [load([f"optimizer={name}"]).optimizer for name in names] or [config.optimizer]


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    head = f"{found['workload']}, {found['precision']}, {found['device']}: the largest batch in {size(found['memory'])}"
    return [
        head,
        f"  {'optimizer':<16}{'parameters':>12}{'state':>12}{'held':>12}{'a sample':>12}{'largest batch':>15}",
        *(
            f"  {row['optimizer']:<16}{size(row['parameters']):>12}{size(row['optimizer_state']):>12}"
            f"{size(row['held']):>12}{size(row['per_sample'] + row['batch_per_sample']):>12}{row['largest_batch']:>15,}"
            for row in found["rows"]
        ),
    ]
