"""The command line. Bodies are a few lines; everything heavy is imported inside them, so that --help is instant."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from optbench import __version__
from optbench.cli import options, report_app, reproduce_app
from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides, ResultsDir, Study
from optbench.cli.output import answered, emit, notice, speaks
from optbench.errors import OptbenchError

app = typer.Typer(
    name="optbench",
    help="Which deep-learning optimizer to use on your workload, with your budget, and how sure you can be.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="List, fetch and verify data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
targets_app = typer.Typer(help="Values of the validation metric that count as trained.", no_args_is_help=True)
app.add_typer(targets_app, name="targets")
app.add_typer(report_app.app)
app.add_typer(reproduce_app.app)
app.add_typer(report_app.imports, name="import")


def show_version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    debug: Debug = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Which deep-learning optimizer to use on your workload, with your budget, and how sure you can be."""
    if debug:
        os.environ["OPTBENCH_DEBUG"] = "1"


@app.command()
def run(
    overrides: Overrides = None,
    study: Study = "runs",
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run again what has ended; the old run is kept aside.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and stop.")] = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Train once: optbench run optimizer=lion model=vit"""
    from optbench.cli import run as commands

    commands.run(
        overrides or [],
        study=study,
        results_dir=results_dir,
        config_dir=config_dir,
        force=force,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
        notice=notice,
        emit=emit,
    )


@app.command()
def sweep(
    words: options.SweepWords = None,
    trials: options.Trials = None,
    seeds: options.Seeds = None,
    tune_seeds: options.TuneSeeds = None,
    sampler: options.Sampler = None,
    search_seed: options.SearchSeed = None,
    pruner: options.Pruner = None,
    budgets: options.Budgets = None,
    protocol: options.Protocol = None,
    extend_edges: options.ExtendEdges = False,
    allow_unequal: options.AllowUnequal = False,
    scale: options.Scale = None,
    study: options.SweepStudy = None,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    executor: options.Executor = "local",
    retry: options.Retry = "",
    storage: options.Storage = "",
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Tune with equal budgets, then rerun on fresh seeds: optbench sweep optimizer=lion,adamw model=vit --trials 16

    What a setting is where it is not given stands in conf/protocol/default.yaml."""

    given = {"trials": trials, "seeds": seeds, "tune_seeds": tune_seeds, "sampler": sampler, "pruner": pruner}
    given |= {"search_seed": search_seed, "budgets": run.numbers("--budgets", budgets)}
    given |= {"extend_edges": extend_edges or None, "allow_unequal": allow_unequal or None}
    how = run.How(protocol, scale, study, jobs, per_device, executor, retry, results_dir, config_dir, storage)
    run.sweep(words or [], given, how, dry_run=dry_run, as_json=as_json, quiet=quiet, notice=notice, emit=emit)


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(help="optimizers, modifiers, models, data, schedules, clips, protocols, experiments or columns"),
    ] = "",
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List what can be chosen, and the columns of results."""
    from optbench.cli import run as commands

    commands.list_(what, config_dir, as_json, emit)


@app.command()
def show(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Also each parameter with its role and decay.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """The resolved configuration, each value with the file or override that it comes from."""
    from optbench.cli import run as commands

    commands.show(overrides or [], config_dir, parameters, as_json, notice, emit)


@app.command()
def doctor(as_json: AsJson = False, debug: Debug = False) -> None:
    """Check this machine: packages, devices, compiler, folders, W&B."""
    from optbench.cli import run as commands

    commands.doctor(as_json, emit)


@app.command()
def check(
    overrides: Overrides = None,
    against: Annotated[
        str, typer.Option("--against", metavar="PAPER", help="The paper's rule to hold it against, e.g. lion.")
    ] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every optimizer by every implementation.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --all: a Markdown file for the matrix.")
    ] = None,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="On two ranks as well, by DDP and by FSDP2.")
    ] = False,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Is an optimizer what its paper says? optbench check optimizer=lion"""
    from optbench.cli import check as commands

    commands.check(
        overrides or [],
        against=against,
        everything=everything,
        output=output,
        distributed=distributed,
        config_dir=config_dir,
        as_json=as_json,
        notice=notice,
        emit=emit,
    )


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="loop, or step (also takes algorithms=, shapes=, rounds=)")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Speed against the alternatives, side by side in one process."""
    from optbench.cli import run as commands

    commands.bench(what, overrides or [], config_dir, as_json, notice, emit)


@data_app.command("list")
def data_list(config_dir: ConfigDir = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Data sets, their sizes, and whether they are here."""
    from optbench.cli import data

    data.list_(config_dir, as_json, emit)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A data set, e.g. cifar10")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fetch a data set."""
    from optbench.cli import data

    data.get(name, overrides or [], config_dir, as_json, notice, emit)


@data_app.command("verify")
def data_verify(
    name: Annotated[str, typer.Argument(help="A data set, e.g. cifar10")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare a data set with its published checksums."""
    from optbench.cli import data

    data.verify(name, overrides or [], config_dir, as_json, emit)


@targets_app.command("set")
def targets_set(
    model: Annotated[str, typer.Argument(help="A model, e.g. mlp")],
    overrides: Overrides = None,
    trials: options.Trials = None,
    seeds: options.Seeds = None,
    budget: Annotated[float | None, typer.Option("--budget", help="Share of the workload's budget.")] = None,
    study: options.SweepStudy = None,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    retry: options.Retry = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder whose target/ takes the file.  [default: conf]")
    ] = None,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Set a workload's target by AlgoPerf's procedure: tune four standard optimizers, rerun the best of all.

    What is tuned, and how much, stands in conf/protocol/targets.yaml."""
    from optbench.cli import sweep as commands
    from optbench.cli import targets

    given = {"trials": trials, "seeds": seeds, "budgets": None if budget is None else [budget]}
    how = commands.How(None, None, study, jobs, per_device, "local", retry, results_dir, config_dir)
    says = {"as_json": as_json, "quiet": quiet, "notice": notice, "emit": emit}
    targets.set_(model, overrides or [], given, how, output, dry_run=dry_run, **says)


@targets_app.command("list")
def targets_list(config_dir: ConfigDir = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Every workload that has a target, with its budget and whether its settings are still those it was set for."""
    from optbench.cli import targets

    targets.list_(config_dir, as_json, emit)


def fail(error: OptbenchError, argv: Sequence[str]) -> NoReturn:
    """One clear error: in words on stderr, and as JSON on stdout where machine output was asked for."""
    if speaks():
        print(f"optbench: {error}", file=sys.stderr)
    if "--json" in argv and not answered and speaks():
        print(json.dumps({"error": str(error.args[0]), "hint": error.hint, "exit_code": error.exit_code}))
    raise SystemExit(error.exit_code)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes stand in optbench.errors; a traceback (exit 1) is a bug of ours."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get("OPTBENCH_DEBUG"))
    answered.clear()
    try:
        app(arguments)
    except OptbenchError as error:
        if debug:
            raise
        fail(error, arguments)
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
