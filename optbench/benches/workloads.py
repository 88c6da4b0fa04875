"""How long does each packaged model train, and how much better does it end than the trivial answer?

    optbench bench workloads models=vit,gpt seeds=0,1

Trains every model as `optbench run optimizer=adamw model=NAME` does. The trivial answers are the majority class, the
unigram frequencies, normally distributed pixels, or the starting point. A model's file states the required margin in
`about.beats`: `by`, the least improvement on the trivial metric, or `factor`, the largest share of it; both for
validation and test. `beats.optimizer` replaces AdamW.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.benches import Report, comma_separated
from optbench.config import RunConfig, config_folders, load, options
from optbench.errors import ConfigError
from optbench.sessions.session import execute

log = logging.getLogger(__name__)
SPLITS = ("val", "test")


def measure(config: RunConfig, models: str = "", seeds: str = "0") -> Report:
    """Return a row for each model and seed, with device, threads and precision of the configuration.

    `models`: names separated by commas; by default all. `seeds`: seeds separated by commas."""
    known = options(config_folders(None), "model")
    names = comma_separated(models) or known
    for name in names:
        if name not in known:
            raise ConfigError(f"models={models}: unknown model '{name}'", f"Choose from {', '.join(known)}")
    rows = []
    for name in names:
        for seed in seeds.split(","):
            rows.append(train(name, seed, config))
            log.info(line(rows[-1]))
    return {"device": config.device, "threads": config.threads, "rows": rows, "all_hold": all(r["holds"] for r in rows)}


def train(name: str, seed: str, config: RunConfig) -> Report:
    """Train one model in a temporary folder and return its row."""
    beats = load([f"model={name}"]).model.about["beats"]
    same = [f"{key}={getattr(config, key)}" for key in ("device", "threads", "precision", "compile")]
    chosen = load(
        [f"model={name}", f"optimizer={beats.get('optimizer', 'adamw')}", f"seed={seed}", "tracker=none", *same]
    )
    with tempfile.TemporaryDirectory() as folder:
        result = execute(chosen, Path(folder)).result
    final = result["final"]
    return {
        "model": name,
        "data": chosen.data.name,
        "optimizer": chosen.optimizer.name,
        "seed": chosen.seed,
        "status": result["status"],
        "steps": result["steps"],
        "batch_size": chosen.batch_size,
        "wall_seconds": result["wall_seconds"],
        "step_ms_median": result["throughput"]["step_ms_median"],
        "metric": result["metric"],
        **{f"{split}_{score}": final[f"{split}_{score}"] for split in SPLITS for score in ("metric", "trivial")},
        "held_to": dict(beats),
        "holds": result["status"] == "completed" and beats_trivial(beats, result["direction"], final),
    }


def beats_trivial(beats: Mapping[str, Any], direction: str, final: Mapping[str, float]) -> bool:
    """Return True if the final metrics beat the trivial ones by the required margin."""
    return all(within(beats, direction, final[f"{split}_metric"], final[f"{split}_trivial"]) for split in SPLITS)


def within(beats: Mapping[str, Any], direction: str, metric: float, trivial: float) -> bool:
    """Return True if one split meets the margin. A factor is for metrics with an optimum of zero."""
    if "factor" in beats:
        return metric <= beats["factor"] * trivial
    return (metric - trivial if direction == "max" else trivial - metric) >= beats["by"]


def lines(report: Report) -> list[str]:
    """Return a Markdown table."""
    head = (
        "| model | data | optimizer | seed | batch, steps | wall s | ms per step | metric | test | trivial | "
        "required margin | met |"
    )
    return [head, "|" + "---|" * (head.count("|") - 1), *(line(row) for row in report["rows"])]


def line(row: Report) -> str:
    """Return a row of the table."""
    margin = ", ".join(f"{key} {value:g}" for key, value in row["held_to"].items() if not isinstance(value, str))
    cells = [
        *(str(row[key]) for key in ("model", "data", "optimizer", "seed")),
        f"{row['batch_size']}, {row['steps']:,}",
        f"{row['wall_seconds']:.0f}",
        f"{row['step_ms_median']:.2f}",
        row["metric"],
        f"{row['test_metric']:.4g}",
        f"{row['test_trivial']:.4g}",
        margin,
        "yes" if row["holds"] else f"NO ({row['status']})",
    ]
    return f"| {' | '.join(cells)} |"
