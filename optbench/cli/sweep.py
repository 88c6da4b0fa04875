"""`optbench sweep`: a study from its overrides or its file to its last run."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optbench.cli import options
from optbench.cli.options import AsJson, ConfigDir, Debug, ResultsDir, split
from optbench.cli.output import Output, print_lines
from optbench.cli.tables import table
from optbench.cli.trust import asked
from optbench.errors import ConfigError
from optbench.sweeps.options import SweepOptions
from optbench.sweeps.outcome import conclude, result_tree
from optbench.sweeps.start import asked_study, plan_of, run_study

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.study.study import Study


def sweep(
    words: options.SweepWords = None,
    trials: options.Trials = None,
    seeds: options.Seeds = None,
    tune_seeds: options.TuneSeeds = None,
    shortlist: options.Shortlist = None,
    shortlist_seeds: options.ShortlistSeeds = None,
    sampler: options.Sampler = None,
    search_seed: options.SearchSeed = None,
    pruner: options.Pruner = None,
    budgets: options.Budgets = None,
    protocol: options.Protocol = None,
    extend_edges: options.ExtendEdges = None,
    recipes: options.Recipes = None,
    box: options.Box = None,
    allow_unequal: options.AllowUnequal = False,
    scale: options.Scale = None,
    study: options.SweepStudy = None,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    pack: options.Pack = 1,
    executor: options.Executor = "local",
    retry: options.Retry = "",
    storage: options.Storage = "",
    trust: options.Trust = False,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Tune with equal budgets, then rerun on fresh seeds: optbench sweep optimizer=lion,adamw model=vit --trials 16

    Defaults: conf/protocol/default.yaml. Exit code 3 if a run failed."""
    output = Output(as_json, quiet)
    settings = {"trials": trials, "seeds": seeds, "tune_seeds": tune_seeds, "sampler": sampler, "pruner": pruner}
    settings |= {"shortlist": shortlist, "shortlist_seeds": shortlist_seeds, "recipes": recipes, "box": box}
    settings |= {"search_seed": search_seed, "budgets": numbers("--budgets", budgets)}
    settings |= {"extend_edges": extend_edges, "allow_unequal": allow_unequal or None}
    how = SweepOptions(
        protocol, scale, study, jobs, per_device, executor, split(retry), results_dir, config_dir, storage, trust, pack
    )
    how.executor_choice()
    wanted, cells = asked_study(words or [], settings, how, asked)
    gc.freeze()  # what is imported stays: planning thousands of runs is a third slower if every collection visits it
    if dry_run:
        show_plan(wanted, cells, how, output)
    else:
        report(run_study(wanted, cells, how, progress=output.shows_progress), output)


def numbers(option: str, text: str | None) -> list[float] | None:
    """Parse comma-separated numbers."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text}: expected numbers, e.g. 0.25,0.5,1") from None


def report(scheduler: Scheduler, output: Output) -> None:
    """Print the result of a study. Raise ExpectationFailed if a run did not succeed."""
    tree = result_tree(scheduler)
    output.answer(tree, lambda: print_summary(tree))
    raise_for_failures(scheduler, tree)


def raise_for_failures(scheduler: Scheduler, tree: Mapping[str, Any]) -> None:
    """Log the result to W&B. Raise ExpectationFailed if a run did not succeed."""
    error = conclude(scheduler, tree)
    if error is not None:
        raise error


def print_summary(tree: Mapping[str, Any]) -> None:
    """Print the table of a study."""
    from optbench.sweeps.display import summary

    table(tree["study"], [summary.table_row(cell) for cell in tree["cells"]])
    print_lines(summary.note_lines(tree))


def show_plan(study: Study, cells: Sequence[Any], how: SweepOptions, output: Output) -> None:
    """Print the plan of a study, with a timed probe. Then raise the error of a cell that cannot be run, if any."""
    tree, refusal = plan_of(study, cells, how)
    output.answer(tree, lambda: print_plan(tree))
    if refusal is not None:
        raise refusal


def print_plan(tree: Mapping[str, Any]) -> None:
    """Print the plan of a study."""
    from optbench.sweeps.dry_run.plan_text import table_row

    table(tree["study"], [table_row(row) for row in tree["cells"]])
    print_lines(tree["lines"])
