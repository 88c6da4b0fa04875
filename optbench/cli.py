"""The command line. Bodies are a few lines; everything heavy is imported inside them, so that --help is instant."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from optbench import __version__
from optbench.completion import complete_override
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


def notice(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Debug = False,
) -> None:
    """Train once: optbench run optimizer=lion model=vit"""
    from optbench import commands

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
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="key=value, with several values or an interval; or a study.yaml",
            autocompletion=complete_override,
            metavar="[STUDY.YAML] [KEY=VALUE]...",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="Points of its search box for every optimizer.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Final runs of each winner, on fresh seeds.")] = None,
    tune_seeds: Annotated[int | None, typer.Option("--tune-seeds", help="Runs of a trial.")] = None,
    sampler: Annotated[
        str | None, typer.Option("--sampler", help="sobol, halton, random, grid, tpe, gp or cmaes.")
    ] = None,
    search_seed: Annotated[int | None, typer.Option("--search-seed", help="Seed of the points.")] = None,
    pruner: Annotated[
        str | None, typer.Option("--pruner", help="none, asha, hyperband, median or wilcoxon; of the tuning alone.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", help="A ladder of complete schedules, e.g. 0.25,0.5,1.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="default, algoperf-external or algoperf-self.")
    ] = None,
    extend_edges: Annotated[
        bool, typer.Option("--extend-edges", help="Search on where a best value lies on an edge, equally for all.")
    ] = False,
    allow_unequal: Annotated[bool, typer.Option("--allow-unequal", help="Take budgets that differ.")] = False,
    scale: Annotated[str | None, typer.Option("--scale", help="A scale of the study file, e.g. cpu.")] = None,
    study: Annotated[
        str | None, typer.Option("--study", help="Name of the study.  [default: from the command]")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", help="Runs at a time.  [default: what fits]")] = None,
    per_device: Annotated[int, typer.Option("--per-device", help="Runs at a time on a CUDA device.", min=1)] = 1,
    executor: Annotated[str, typer.Option("--executor", help="local")] = "local",
    retry: Annotated[str, typer.Option("--retry", help="Run again what ended so, e.g. failed,timed_out.")] = "",
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, with a timed probe, and stop.")] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Debug = False,
) -> None:
    """Tune with equal budgets, then rerun on fresh seeds: optbench sweep optimizer=lion,adamw model=vit --trials 16"""
    from optbench import sweep_commands

    given = {"trials": trials, "seeds": seeds, "tune_seeds": tune_seeds, "sampler": sampler}
    given |= {"search_seed": search_seed, "pruner": pruner, "budgets": sweep_commands.numbers("--budgets", budgets)}
    given |= {"extend_edges": extend_edges or None, "allow_unequal": allow_unequal or None}
    sweep_commands.sweep(
        words or [],
        given,
        protocol=protocol,
        scale=scale,
        study=study,
        jobs=jobs,
        per_device=per_device,
        executor=executor,
        retry=retry,
        results_dir=results_dir,
        config_dir=config_dir,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
        notice=notice,
        emit=emit,
    )


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="optimizers, modifiers, models, data, schedules, clips or columns")] = "",
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List what can be chosen, and the columns of results."""
    from optbench import commands

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
    from optbench import commands

    commands.show(overrides or [], config_dir, parameters, as_json, notice, emit)


@app.command()
def doctor(as_json: AsJson = False, debug: Debug = False) -> None:
    """Check this machine: packages, devices, compiler, folders, W&B."""
    from optbench import commands

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
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Is an optimizer what its paper says? optbench check optimizer=lion"""
    from optbench import check_commands

    check_commands.check(
        overrides or [],
        against=against,
        everything=everything,
        output=output,
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
    from optbench import commands

    commands.bench(what, overrides or [], config_dir, as_json, notice, emit)


@data_app.command("list")
def data_list(config_dir: ConfigDir = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Data sets, their sizes, and whether they are here."""
    from optbench import data_commands

    data_commands.list_(config_dir, as_json, emit)


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(help="A data set, e.g. cifar10")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Fetch a data set."""
    from optbench import data_commands

    data_commands.get(name, overrides or [], config_dir, as_json, notice, emit)


@data_app.command("verify")
def data_verify(
    name: Annotated[str, typer.Argument(help="A data set, e.g. cifar10")],
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare a data set with its published checksums."""
    from optbench import data_commands

    data_commands.verify(name, overrides or [], config_dir, as_json, emit)


def emit(as_json: bool, tree: Mapping[str, Any] | Sequence[Any], human: Callable[[], None]) -> None:
    """Answer on stdout: JSON for machines or `human()` for people."""
    if as_json:
        print(json.dumps(tree, indent=2, default=str))
    else:
        human()


def fail(error: OptbenchError, argv: Sequence[str]) -> NoReturn:
    """One clear error: in words on stderr, and as JSON on stdout where machine output was asked for."""
    print(f"optbench: {error}", file=sys.stderr)
    if "--json" in argv:
        print(json.dumps({"error": str(error.args[0]), "hint": error.hint, "exit_code": error.exit_code}))
    raise SystemExit(error.exit_code)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point. Exit codes stand in optbench.errors; a traceback (exit 1) is a bug of ours."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get("OPTBENCH_DEBUG"))
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
