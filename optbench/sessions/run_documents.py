"""The contents of run.json and result.json, from the objects of a run."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.distributed.tensor import DTensor

from optbench.config import RunConfig
from optbench.distributed.partition import to_local
from optbench.optimizers.core.state_bytes import state_bytes, tensor_bytes, unmeasurable
from optbench.records import SCHEMA, Status
from optbench.sessions.assemble import Objects
from optbench.sessions.documents import FINAL, config_facts
from optbench.store import Document
from optbench.training.clock import step_milliseconds
from optbench.training.device import peak_flops, resolve_device
from optbench.training.memory import resident_peak_bytes
from optbench.training.provenance import hardware


def run_facts(
    config: RunConfig, objects: Objects | None, study: str, stage: str, sweep: Mapping[str, object] | None = None
) -> Document:
    """Return run.json: configuration, hardware, versions. `objects` is None if they did not fit into memory."""
    device = objects.device if objects else resolve_device(config.device)
    return {
        **config_facts(config, study, stage, sweep),
        "hardware": hardware(device),
        **(
            object_facts(objects)
            if objects
            else dict.fromkeys(("engine", "micro_batch", "metric", "direction", "metric_scale", "data", "init"))
        ),
    }


def object_facts(objects: Objects) -> Document:
    """Return the part of run.json that comes from the objects of a run."""
    data, plan = objects.data, objects.trainer.plan
    return {
        "engine": objects.engine,
        "micro_batch": objects.micro_batch or plan.batch_size,
        "metric": objects.task.metric,
        "direction": objects.task.direction,
        "metric_scale": objects.task.metric_scale,
        "data": {
            "sha256": data.sha256,
            "verified": data.verified,
            "sizes": dict(data.sizes),
            **data.facts,
        },
        "init": objects.weights.facts if objects.weights is not None else None,
    }


def result_facts(config: RunConfig, objects: Objects, status: Status, reason: str, resumed_from: list[int]) -> Document:
    """Return result.json."""
    trainer, task = objects.trainer, objects.task
    progress, clock = trainer.progress, trainer.clock
    broken = status in (Status.FAILED, Status.OUT_OF_MEMORY)
    clock.resolve()
    target = {
        "metric": task.metric,
        "direction": task.direction,
        "value": config.target,
        "hash": target_hash(config, objects.data.sha256),
        "step": None,
        "samples": None,
        "train_seconds": None,
        **progress.reached,
    }
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "status": str(status),
        "reason": reason,
        "metric": task.metric,
        "direction": task.direction,
        "final": {**dict.fromkeys(FINAL), **progress.final},
        "best": dict(progress.best) or None,
        "target": target if config.target is not None else None,
        "steps": progress.step,
        "samples": progress.samples,
        "gradient_evaluations": sum(p.gradient_evaluations for p in trainer.players.values()),
        "seconds": clock.seconds(),
        "train_seconds": clock.train_seconds,
        "wall_seconds": clock.wall_seconds,
        "bytes": bytes_by_kind(objects),
        "attention": progress.attention or [],
        "throughput": throughput(objects, config.precision),
        "resumed_from_steps": resumed_from,
        "data_verified": objects.data.verified,
        "data_sha256": objects.data.sha256,
        "weights_sha256": None if broken and trainer.sharded else trainer.weights_sha256(),  # other ranks are gone
    }


def target_hash(config: RunConfig, data_sha256: str | None) -> str | None:
    """Return the hash of the target's procedure; None for the user's own target, or one set on other data."""
    source = config.target_source
    return source.procedure_sha256 if source is not None and source.data_sha256 == data_sha256 else None


def bytes_by_kind(objects: Objects) -> Document:
    """Return bytes of parameters (all, and the frozen ones), gradients and optimizer state, and peaks.

    The state is by dtype; a class of tensors that hides what it is made of has null."""
    players = objects.trainer.players.values()
    parameters = [p for player in players for p in player.parameters]
    frozen = sum(frozen_bytes(player.module) for player in players)
    state: dict[str, int | None] = {}
    for player in players:
        for dtype, count in state_bytes(player.optimizer).items():
            state[dtype] = (state.get(dtype) or 0) + count
        state |= dict.fromkeys(unmeasurable(player.optimizer))
    return {
        "parameters": tensor_bytes(parameters) + frozen,
        "frozen_parameters": frozen,
        "optimizer_state": state,
        "gradients": tensor_bytes(p.grad for p in parameters if p.grad is not None),
        **objects.trainer.memory.peaks(),
        "resident": resident_peak_bytes(),
    }


def frozen_bytes(module: nn.Module) -> int:
    """Return the bytes of the parameters that are not trained; of sharded ones, of this rank's rows."""
    frozen = [parameter for parameter in module.parameters() if not parameter.requires_grad]
    return tensor_bytes(to_local(p) if isinstance(p, DTensor) else p for p in frozen)


def throughput(objects: Objects, precision: str) -> dict[str, float | None]:
    """Return samples per second, step times, FLOPs and utilisation over the training phases."""
    trainer = objects.trainer
    clock, flops = trainer.clock, trainer.progress.flops_per_step
    seconds = clock.train_seconds
    peak = peak_flops(objects.device, precision)
    rate = flops * trainer.progress.step / seconds if flops and seconds > 0 else None
    return {
        "samples_per_second": trainer.progress.samples / seconds if seconds > 0 else None,
        **step_milliseconds(clock.step_seconds),
        "flops_per_step": flops,
        "flops_per_second": rate,
        "utilisation": rate / peak / (trainer.comm.world_size if trainer.comm else 1) if rate and peak else None,
    }
