"""What is the largest batch that fits into a given memory with each optimizer?

    optbench bench fit model=t5 optimizers=adam,adafactor memory=8e9

Measures the bytes of a few training steps (optbench/sessions/micro_batch.py): those independent of the batch
(parameters, gradients, optimizer state) and those per sample. The batch is not split into micro-batches.
"""

from __future__ import annotations

import dataclasses
import logging

from optbench.benches import Report, comma_separated
from optbench.config import Choice, RunConfig, load
from optbench.sessions import assemble, micro_batch
from optbench.trackers.console import size
from optbench.training.device import resolve_device
from optbench.training.seeding import seeds_of

log = logging.getLogger(__name__)


def measure(config: RunConfig, optimizers: str = "", memory: float = 0.0) -> Report:
    """Return bytes by kind and the largest batch for each optimizer.

    `optimizers`: names separated by commas; by default that of `optimizer=`. `memory`: bytes; by default all that is
    free."""
    device, seeds = resolve_device(config.device), seeds_of(config.seed)
    assemble.prepare(config, device, seeds)
    data = assemble.load_data(config, device, seeds)
    limit = micro_batch.limit_bytes(memory or config.memory_limit, device)
    rows = []
    for choice in chosen_optimizers(config, optimizers):
        log.info(f"measuring {choice.name}")
        run = dataclasses.replace(config, optimizer=choice)
        need = micro_batch.measure_need(lambda run=run: assemble.build_trainer(run, data, device, seeds, None))
        held = {"held": need.held, "largest_batch": need.largest_batch(limit)}
        rows.append({"optimizer": choice.name, **dataclasses.asdict(need), **held})
    return {
        "workload": f"{config.model.name}-{config.data.name}",
        "model": dict(config.model.settings),
        "device": device.type,
        "precision": config.precision,
        "memory": limit,
        "rows": rows,
    }


def chosen_optimizers(config: RunConfig, optimizers: str) -> list[Choice]:
    """Return the named optimizers with the settings of their files; without names, that of the configuration."""
    return [load([f"optimizer={name}"]).optimizer for name in comma_separated(optimizers)] or [config.optimizer]


def lines(report: Report) -> list[str]:
    """Return the report as text."""
    return [
        f"largest batch in {size(report['memory'])} of memory: {report['workload']}, {report['precision']}, "
        f"{report['device']}",
        f"  {'optimizer':<16}{'parameters':>12}{'state':>12}{'fixed':>12}{'per sample':>12}{'largest batch':>15}",
        *(
            f"  {row['optimizer']:<16}{size(row['parameters']):>12}{size(row['optimizer_state']):>12}"
            f"{size(row['held']):>12}{size(row['per_sample'] + row['batch_per_sample']):>12}{row['largest_batch']:>15,}"
            for row in report["rows"]
        ),
        "  fixed: parameters, gradients and optimizer state, which do not depend on the batch",
    ]
