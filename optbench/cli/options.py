"""Options and arguments that several commands share, or that are many."""

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
ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Your configuration folder; its files win over the package's.")
]
ResultsDir = Annotated[Path | None, typer.Option("--results-dir", help="Folder of results.  [default: results]")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress, only warnings.")]

StudyPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RESULTS]", help="A study, by its name or its folder, or a results folder.  [default: results]"
    ),
]
Margin = Annotated[str, typer.Option(help="Smallest difference that matters: 1% of the better value, or 0.005")]
Mix = Annotated[str, typer.Option(help="Compare in spite of different hardware, budgets, data, versions")]


def split(words: str) -> list[str]:
    """Split words at commas."""
    return [word.strip() for word in words.split(",") if word.strip()]


# -- options of a sweep; defaults: conf/protocol/default.yaml ---------------------------------------------------------

SweepWords = Annotated[
    list[str] | None,
    typer.Argument(
        help="key=value, with several values or an interval; or a study.yaml",
        autocompletion=complete_override,
        metavar="[STUDY.YAML] [KEY=VALUE]...",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option("--trials", help="Points of each optimizer's search space.  [default: 8 for each dimension]"),
]
Box = Annotated[
    str | None,
    typer.Option("--box", help="Search space by its name in each optimizer's file; `optbench list boxes` shows them."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Final runs of each best trial, on fresh seeds.")]
Shortlist = Annotated[
    int | None, typer.Option("--shortlist", help="Best trials that get further seeds before one is chosen; 0: none.")
]
ShortlistSeeds = Annotated[int | None, typer.Option("--shortlist-seeds", help="Further tuning seeds of each.")]
TuneSeeds = Annotated[
    int | None, typer.Option("--tune-seeds", help="Seeds per tuning trial; their mean is the trial's score.")
]
Sampler = Annotated[
    str | None,
    typer.Option("--sampler", help="auto, sobol, halton, random, grid, tpe, gp or cmaes; auto: grid in 1-D."),
]
SearchSeed = Annotated[int | None, typer.Option("--search-seed", help="Seed of the search points.")]
Pruner = Annotated[
    str | None, typer.Option("--pruner", help="none, asha, hyperband, median or wilcoxon; prunes tuning runs only.")
]
Budgets = Annotated[
    str | None, typer.Option("--budgets", help="Run complete schedules at these shares of the budget, e.g. 0.25,0.5,1.")
]
Protocol = Annotated[
    str | None, typer.Option("--protocol", help="default, classic, algoperf-external or algoperf-self.")
]
ExtendEdges = Annotated[
    bool | None,
    typer.Option(
        "--extend-edges/--no-extend-edges", help="Extend the search if scores rise towards an edge, equally for all."
    ),
]
Recipes = Annotated[
    bool | None, typer.Option("--recipes/--no-recipes", help="Keep values that one optimizer's recipe alone sets.")
]
AllowUnequal = Annotated[bool, typer.Option("--allow-unequal", help="Allow unequal gradient-evaluation budgets.")]
Scale = Annotated[str | None, typer.Option("--scale", help="Scale of the study file, e.g. cpu.")]
SweepStudy = Annotated[str | None, typer.Option("--study", help="Name of the study.  [default: from the command]")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", help="Concurrent runs.  [default: as many as fit]")]
PerDevice = Annotated[int, typer.Option("--per-device", help="Concurrent runs per CUDA device.", min=1)]
Pack = Annotated[int, typer.Option("--pack", help="Runs of a cell that one process trains together.", min=1)]
Executor = Annotated[str, typer.Option("--executor", help="local, slurm or ray; with settings: slurm,partition=gpu.")]
Storage = Annotated[
    str, typer.Option("--storage", help="URL of an Optuna database to mirror the study to.  [default: a file]")
]
Trust = Annotated[bool, typer.Option("--trust", help="Import the code that the study file names, and remember that.")]
Retry = Annotated[str, typer.Option("--retry", help="Rerun runs with these statuses, e.g. failed,timed_out.")]
PlanOnly = Annotated[bool, typer.Option("--dry-run", help="Show the plan, with a timed probe, and stop.")]
