"""A random study with the files of `optbench sweep`. The seed determines all of it; its numbers mean nothing."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

OPTIMIZERS = ("adamw", "lion", "muon", "nadam", "sgd")
WORKLOADS = (("vit", "cifar10"), ("resnet", "cifar10"))
PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "checkpoint", "compile", "logging", "other")
BATCH, TARGET, EVALUATE_EVERY = 128, 0.9, 10  # in records


def make_tree(root: Path, *, runs: int, records: int, seed: int = 0, study: str = "large") -> Path:
    """Write `runs` runs of `records` records each, half of them final: five optimizers on two workloads."""
    draw = random.Random(seed)
    each = max(2, runs // (len(OPTIMIZERS) * len(WORKLOADS)))
    trials = each // 2
    cells = []
    for model, data in WORKLOADS:
        for rank, optimizer in enumerate(OPTIMIZERS):
            scores = []
            for trial in range(trials):
                lr = 10 ** draw.uniform(-4, -1)
                score = 0.95 - 0.01 * rank - 0.1 * (math.log10(lr) + 2.5) ** 2 + draw.gauss(0, 0.005)
                scores.append((score, lr))
                make_run(root / study, model, data, optimizer, "tune", 0, trial, lr, score, records, draw)
            best = max(range(trials), key=lambda trial: scores[trial][0])
            for number in range(each - trials):
                score = scores[best][0] + draw.gauss(0, 0.005)
                lr = scores[best][1]
                make_run(root / study, model, data, optimizer, "final", 1000 + number, best, lr, score, records, draw)
            cells.append(cell_document(model, optimizer, best, scores))
    tree = {"schema": 1, "study": study, "settings": {"name": study, "claim": None}, "cells": cells}
    (root / study / "study.json").write_text(json.dumps(tree))
    return root / study


def cell_document(model: str, optimizer: str, best: int, scores: Sequence[tuple[float, float]]) -> dict[str, object]:
    """Return a cell of study.json."""
    return {
        "label": f"{optimizer} {model}",
        "choices": [f"optimizer={optimizer}", f"model={model}"],
        "workload": [f"model={model}", "budget=1"],
        "budget": 1.0,
        "winner": best,
        "edges": [],
        "dimensions": [{"key": "optimizer.lr", "low": 1e-4, "high": 0.1, "log": True, "integer": False, "values": []}],
        "trials": [
            {"trial": trial, "values": {"optimizer.lr": lr}, "runs": [], "state": "done", "value": score}
            for trial, (score, lr) in enumerate(scores)
        ],
    }


def make_run(
    study: Path,
    model: str,
    data: str,
    optimizer: str,
    stage: str,
    seed: int,
    trial: int,
    lr: float,
    score: float,
    records: int,
    draw: random.Random,
) -> None:
    """Write one finished run: run.json, metrics.jsonl, result.json."""
    trial_id = f"{model}-{data}-{optimizer}-{trial:04d}"
    folder = study / f"{trial_id}-s{seed}"
    folder.mkdir(parents=True)
    config = {
        "optimizer": {"name": optimizer, "impl": "torch", "lr": lr, "weight_decay": 0.1},
        "model": {"name": model, "depth": 6, "width": 192, "heads": 3},
        "data": {"name": data, "validation": 5000},
        "schedule": {"name": "cosine", "warmup": 0.05, "floor": 0.0},
        "steps": records,
        "batch_size": BATCH,
        "target": TARGET,
    }
    run = {
        "schema": 1,
        "run_id": folder.name,
        "trial_id": trial_id,
        "study": study.name,
        "stage": stage,
        "sweep": {"cell": f"{optimizer} {model}", "budget": 1.0, "trial": trial, "shared": False},
        "seed": seed,
        "overrides": [f"optimizer={optimizer}", f"model={model}", f"optimizer.lr={lr}", f"seed={seed}"],
        "algorithm": optimizer,
        "implementation": "torch",
        "versions": {"optbench": "0", "torch": "0"},
        "git": {"commit": "0" * 40, "dirty": False},
        "hardware": {"device": "cpu", "cpu": "drawn", "cores": 2},
        "metric": "accuracy",
        "direction": "max",
        "data": {"sha256": "0" * 64},
        "config": config,
    }
    rows = list(record_rows(records, score, draw))
    (folder / "run.json").write_text(json.dumps(run, indent=2))
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "result.json").write_text(json.dumps(result_document(folder.name, rows, score, records), indent=2))


def record_rows(records: int, score: float, draw: random.Random) -> Iterator[Mapping[str, object]]:
    """Yield the records: of every ten, nine of training and one of validation."""
    for step in range(1, records + 1):
        done = step / records
        clock = {"train_seconds": 0.01 * step, "wall_seconds": 0.012 * step}
        head = {"step": step, "samples": BATCH * step, "tokens": None, "gradient_evaluations": step}
        if step % EVALUATE_EVERY == 0 or step == records:
            value = score * (1 - math.exp(-6 * done)) + draw.gauss(0, 0.002)
            yield (
                head
                | {"split": "validation"}
                | clock
                | {"val_loss": 2.3 * math.exp(-3 * done), "val_metric": value, "val_trivial": 0.1}
            )
        else:
            yield (
                head
                | {"split": "train"}
                | clock
                | {
                    "train_loss": 2.3 * math.exp(-3 * done) * math.exp(draw.gauss(0, 0.05)),
                    "lr": 0.01 * (1 - done),
                    "grad_norm": abs(draw.gauss(1, 0.1)),
                    "update_ratio": 0.01,
                    "clip_fraction": 0.0,
                    "clip_scale": 1.0,
                    "samples_per_second": BATCH / 0.01,
                    "step_ms_median": 10.0,
                    "step_ms_p95": 12.0,
                    "peak_allocated_bytes": None,
                    "peak_reserved_bytes": None,
                    "evaluation_peak_allocated_bytes": None,
                    "resident_bytes": 10**9,
                }
            )


def result_document(run_id: str, rows: Sequence[Mapping[str, object]], score: float, records: int) -> dict[str, object]:
    """Return the contents of result.json."""
    final = {"val_loss": 0.2, "val_metric": score, "val_trivial": 0.1, "test_loss": 0.2, "test_metric": score - 0.01}
    return {
        "schema": 1,
        "run_id": run_id,
        "status": "completed",
        "reason": "",
        "metric": "accuracy",
        "direction": "max",
        "final": final | {"train_loss": 0.1, "train_metric": score + 0.02},
        "best": {"step": records, "val_loss": 0.2, "val_metric": score},
        "target": {"metric": "accuracy", "direction": "max", "value": TARGET, "step": None},
        "steps": records,
        "samples": BATCH * records,
        "gradient_evaluations": records,
        "seconds": dict.fromkeys(PHASES, 0.001 * records),
        "train_seconds": rows[-1]["train_seconds"],
        "wall_seconds": rows[-1]["wall_seconds"],
        "bytes": {
            "parameters": 10**6,
            "optimizer_state": {"float32": 2 * 10**6},
            "gradients": 10**6,
            "peak_allocated": None,
            "peak_reserved": None,
            "evaluation_peak_allocated": None,
            "resident": 10**9,
        },
        "throughput": {
            "samples_per_second": BATCH / 0.01,
            "step_ms_median": 10.0,
            "step_ms_p95": 12.0,
            "flops_per_step": 10**9,
        },
        "resumed_from_steps": [],
    }
