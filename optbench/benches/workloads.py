"""Every model on the data that comes with the package, as `optbench run optimizer=adamw model=NAME` trains it: how long
it takes, and how far it ends from the trivial answer (the majority class, unigrams, normal pixels, the start).

A model's file says what it is held to (`about.beats`): `by`, so much better than the trivial metric, or `factor`, that
share of it at most, on validation and test alike; and `optimizer`, where AdamW is not to be taken.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.config import RunConfig, config_folders, load, options
from optbench.errors import ConfigError
from optbench.sessions.session import execute

log = logging.getLogger(__name__)

SETTINGS = {"models": "", "seeds": "0"}
"""What the command line may say: names separated by commas (none: all of them), seeds separated by commas."""
SPLITS = ("val", "test")


def measure(config: RunConfig, models: str = "", seeds: str = "0") -> dict[str, Any]:
    """A row for each model and seed; device, threads and precision are those of the configuration."""
    names = options(config_folders(None), "model")
    wanted = [name.strip() for name in models.split(",") if name.strip()] or names
    for name in wanted:
        if name not in names:
            raise ConfigError(f"models={models}: there is no model '{name}'", f"Known: {', '.join(names)}")
    rows = []
    for name in wanted:
        for seed in seeds.split(","):
            rows.append(row_of(name, seed, config))
            log.info(line(rows[-1]))
    return {"device": config.device, "threads": config.threads, "rows": rows, "all_hold": all(r["holds"] for r in rows)}


def row_of(name: str, seed: str, config: RunConfig) -> dict[str, Any]:
    """One run in a folder that is thrown away."""
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
    """Whether the final metrics are as much better than trivial as the model is held to."""
    return all(within(beats, direction, final[f"{split}_metric"], final[f"{split}_trivial"]) for split in SPLITS)


def within(beats: Mapping[str, Any], direction: str, metric: float, trivial: float) -> bool:
    """The same for one split. A factor is for metrics of which less is better, down to zero."""
    if "factor" in beats:
        return metric <= beats["factor"] * trivial
    return (metric - trivial if direction == "max" else trivial - metric) >= beats["by"]


def lines(found: dict[str, Any]) -> list[str]:
    """A Markdown table."""
    head = (
        "| model | data | optimizer | seed | batch, steps | s | ms a step | metric | test | trivial | held to | holds |"
    )
    return [head, "|" + "---|" * (head.count("|") - 1), *(line(row) for row in found["rows"])]


def line(row: Mapping[str, Any]) -> str:
    """A row of it."""
    held = ", ".join(f"{key} {value:g}" for key, value in row["held_to"].items() if not isinstance(value, str))
    cells = [
        *(str(row[key]) for key in ("model", "data", "optimizer", "seed")),
        f"{row['batch_size']}, {row['steps']:,}",
        f"{row['wall_seconds']:.0f}",
        f"{row['step_ms_median']:.2f}",
        row["metric"],
        f"{row['test_metric']:.4g}",
        f"{row['test_trivial']:.4g}",
        held,
        "yes" if row["holds"] else f"NO ({row['status']})",
    ]
    return f"| {' | '.join(cells)} |"
