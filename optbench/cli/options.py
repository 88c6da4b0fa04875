"""Options and arguments of the command line that several commands share, or that are many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optbench.cli.completion import complete_override

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="key=value, e.g. optimizer=lion model=vit steps=1000",
        autocompletion=complete_override,
        metavar="[KEY=VALUE]...",
    ),
]
ConfigDir = Annotated[Path | None, typer.Option("--config-dir", help="Your own configuration folder; it wins.")]
ResultsDir = Annotated[Path | None, typer.Option("--results-dir", help="Where results are kept.  [default: results]")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine output on stdout, everything else on stderr.")]
Study = Annotated[str, typer.Option("--study", help="Name of the study that the run belongs to.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]

Margin = Annotated[str, typer.Option(help="Differences below it do not matter: 1% of the better, or 0.005")]
Mix = Annotated[str, typer.Option(help="Compare in spite of different hardware, budgets, data, versions")]


def split(words: str) -> list[str]:
    """Words that are separated by commas."""
    return [word.strip() for word in words.split(",") if word.strip()]


# -- of a sweep; a setting that is not given has its default in conf/protocol/default.yaml -----------------------------

SweepWords = Annotated[
    list[str] | None,
    typer.Argument(
        help="key=value, with several values or an interval; or a study.yaml",
        autocompletion=complete_override,
        metavar="[STUDY.YAML] [KEY=VALUE]...",
    ),
]
Trials = Annotated[int | None, typer.Option("--trials", help="Points of its search box for every optimizer.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Final runs of each winner, on fresh seeds.")]
TuneSeeds = Annotated[int | None, typer.Option("--tune-seeds", help="Runs of a trial.")]
Sampler = Annotated[str | None, typer.Option("--sampler", help="sobol, halton, random, grid, tpe, gp or cmaes.")]
SearchSeed = Annotated[int | None, typer.Option("--search-seed", help="Seed of the points.")]
Pruner = Annotated[
    str | None, typer.Option("--pruner", help="none, asha, hyperband, median or wilcoxon; of the tuning alone.")
]
Budgets = Annotated[str | None, typer.Option("--budgets", help="A ladder of complete schedules, e.g. 0.25,0.5,1.")]
Protocol = Annotated[str | None, typer.Option("--protocol", help="default, algoperf-external or algoperf-self.")]
ExtendEdges = Annotated[
    bool, typer.Option("--extend-edges", help="Search on where a best value lies on an edge, equally for all.")
]
AllowUnequal = Annotated[bool, typer.Option("--allow-unequal", help="Take budgets that differ.")]
Scale = Annotated[str | None, typer.Option("--scale", help="A scale of the study file, e.g. cpu.")]
SweepStudy = Annotated[str | None, typer.Option("--study", help="Name of the study.  [default: from the command]")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="Runs at a time.  [default: what fits]")]
PerDevice = Annotated[int, typer.Option("--per-device", help="Runs at a time on a CUDA device.", min=1)]
Executor = Annotated[str, typer.Option("--executor", help="local, slurm or ray; with settings: slurm,partition=gpu.")]
Storage = Annotated[
    str, typer.Option("--storage", help="URL of Optuna's database to mirror the study in.  [default: a file]")
]
Retry = Annotated[str, typer.Option("--retry", help="Run again what ended so, e.g. failed,timed_out.")]
PlanOnly = Annotated[bool, typer.Option("--dry-run", help="Show the plan, with a timed probe, and stop.")]
