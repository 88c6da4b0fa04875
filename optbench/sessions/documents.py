"""The parts of run.json and result.json that need no objects of a run, and no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

from optbench.config import RunConfig
from optbench.records import SCHEMA, Status
from optbench.store import Document
from optbench.training.clock import PHASES
from optbench.training.cpu import waiting_settings
from optbench.training.memory import PEAKS, resident_peak_bytes
from optbench.training.provenance import git_state, package_versions

MEMORY = ("parameters", "frozen_parameters", "optimizer_state", "gradients")
MEMORY += (*PEAKS, "resident")
SPEED = ("samples_per_second", "step_ms_median", "step_ms_p95", "flops_per_step", "flops_per_second", "utilisation")
SPEED += ("core_wait_share",)  # share of the threads' time that they waited for a core: see records.BUSY_SHARE
FINAL = tuple(f"{split}_{score}" for split in ("val", "test", "train") for score in ("loss", "metric", "trivial"))


def config_facts(config: RunConfig, study: str, stage: str, sweep: Mapping[str, object] | None) -> Document:
    """Return what run.json says of the configuration and the software."""
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "trial_id": config.trial_id,
        "study": study,
        "stage": stage,
        "sweep": dict(sweep) if sweep else None,
        "seed": config.seed,
        "config": config.as_dict(),
        "overrides": list(config.overrides),
        "typed_in": asdict(config.typed_in),
        "task": config.task_name,
        "algorithm": config.optimizer.about["algorithm"],
        "implementation": config.optimizer.settings["impl"],
        "modifiers": [modifier.label for modifier in config.modifiers],
        "versions": package_versions(),
        "git": git_state(),
        "threads": config.threads,
        "openmp": waiting_settings(),
        "sources": {f"{name}_sha256": sha for name, sha in config.sources.items() if sha or name == "optimizer"},
        "content": config.content,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def result_before_start(config: RunConfig, status: Status, reason: str) -> Document:
    """Return result.json of a run that ended before its first step: all keys, without measurements."""
    unknown = ("metric", "direction", "best", "target", "train_seconds", "wall_seconds", "data_verified", "data_sha256")
    return {
        "schema": SCHEMA,
        "run_id": config.run_id,
        "status": str(status),
        "reason": reason,
        **dict.fromkeys((*unknown, "weights_sha256")),
        "final": dict.fromkeys(FINAL),
        **dict.fromkeys(("steps", "samples", "gradient_evaluations"), 0),
        "seconds": dict.fromkeys(PHASES, 0.0),
        "bytes": {**dict.fromkeys(MEMORY), "optimizer_state": {}, "resident": resident_peak_bytes()},
        "throughput": dict.fromkeys(SPEED),
        "attention": [],
        "resumed_from_steps": [],
        "pack": None,
    }
