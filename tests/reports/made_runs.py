"""Run folders made by hand, in the shape that a sweep leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_study(
    root: Path,
    finals: Mapping[str, Sequence[float | None]],
    *,
    tuning: Mapping[str, Sequence[float | None]] | None = None,
    study: str = "made",
    direction: str = "max",
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Write a study of contenders by name: the metric of each final seed and of each trial, None: diverged."""
    cells = []
    for name, values in finals.items():
        scores = (tuning or {}).get(name, [])
        known = [(v if direction == "max" else -v, i) for i, v in enumerate(scores) if v is not None]
        winner = max(known)[1] if known else 0
        for trial, value in enumerate(scores):
            write_run(root / study, name, "tune", 0, trial, value, direction, **changes)
        for seed, value in enumerate(values):
            write_run(root / study, name, "final", 1000 + seed, winner, value, direction, **changes)
        trials = [{"trial": i, "values": {"optimizer.lr": 10.0**-i}, "runs": []} for i in range(len(scores))]
        cells.append(
            {
                "label": name,
                "choices": [f"optimizer={name}"],
                "workload": ["budget=1"],
                "winner": winner,
                "trials": trials,
                "edges": [],
            }
        )
    (root / study / "study.json").write_text(
        json.dumps({"schema": 1, "study": study, "settings": settings or {}, "cells": cells})
    )
    return root / study


def write_run(
    study: Path,
    name: str,
    stage: str,
    seed: int,
    trial: int,
    value: float | None,
    direction: str,
    data: str = "d" * 64,
    commit: str = "c" * 40,
    steps: int = 100,
    cpu: str = "a cpu",
    evaluations: int | None = None,
    trivial: float | None = None,
    scale: str | None = None,
    samples: int | None = None,
    loss: float | None = None,
    given: Sequence[str] = (),
    data_name: str = "up",
    budget: float = 1.0,
) -> Path:
    """Write one run. `evaluations`: its gradient evaluations in total; `trivial`: the metric of the trivial answer."""
    run_id = f"{name}-{stage}-{trial}-s{seed}" + ("" if data_name == "up" else f"-{data_name}")
    run_id += "" if budget == 1 else f"-x{budget:g}"
    cell = name if budget == 1 else f"{name} x{budget:g}"
    folder = study / run_id
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "optimizer": {"name": name, "lr": 10.0**-trial},
        "model": {"name": "made"},
        "data": {"name": data_name},
        "steps": round(steps * budget),
        "batch_size": 8,
        "target": None,
    }
    run = {
        "schema": 1,
        "run_id": run_id,
        "stage": stage,
        "seed": seed,
        "config": config,
        "sweep": {
            "cell": cell,
            "trial": trial,
            "budget": budget,
            "shared": False,
            "searched": ["optimizer.lr"],
            "given": list(given),
        },
        "versions": {"optbench": "0", "torch": "0"},
        "git": {"commit": commit},
        "hardware": {"cpu": cpu, "cores": 2},
        "implementation": "optbench",
        "metric": "score",
        "metric_scale": scale,
        "direction": direction,
        "data": {"sha256": data, "sizes": {"validation": samples, "test": samples}},
        "overrides": [f"optimizer={name}", f"optimizer.lr={10.0**-trial}"],
    }
    end = {
        "val_metric": value,
        "test_metric": value,
        "train_metric": value,
        "val_trivial": trivial,
        "test_trivial": trivial,
        "val_loss": loss,
        "test_loss": loss,
    }
    result = {
        "schema": 1,
        "run_id": run_id,
        "status": "completed" if value is not None else "diverged",
        "reason": "" if value is not None else "the loss is nan",
        "final": end if value is not None else {},
        "best": end if value is not None else {},
        "train_seconds": 1.0,
        **({"steps": steps, "samples": 8 * steps, "gradient_evaluations": evaluations} if evaluations else {}),
    }
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "result.json").write_text(json.dumps(result))
    return folder
