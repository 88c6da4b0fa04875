"""The command that puts a claim to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optbench.cli import options
from optbench.cli.completion import complete_slug
from optbench.cli.options import AsJson, ConfigDir, Debug, ResultsDir
from optbench.cli.output import emit, notice
from optbench.errors import ConfigError

app = typer.Typer()


Slug = Annotated[str, typer.Argument(help="A claim under experiments/, e.g. lion-vit", autocompletion=complete_slug)]
Everything = Annotated[bool, typer.Option("--all", help="Every claim, and their table.")]
Publish = Annotated[
    bool, typer.Option("--publish", help="Also write verdict, report, picture and table of runs, to be committed.")
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Folder of published claims.  [default: results/claims]")
]
Summary = Annotated[
    bool, typer.Option("--summary", help="Write the table of published claims into README.md; runs nothing.")
]
Check = Annotated[bool, typer.Option("--check", help="With --summary: exit 3 where it is stale, and write nothing.")]
Experiments = Annotated[
    Path | None, typer.Option("--experiments-dir", help="Where claims lie.  [default: experiments, or the package's]")
]


@app.command()
def reproduce(
    slug: Slug = "",
    scale: options.Scale = None,
    everything: Everything = False,
    publish: Publish = False,
    output: Output = None,
    summary: Summary = False,
    check: Check = False,
    jobs: options.Jobs = None,
    per_device: options.PerDevice = 1,
    executor: options.Executor = "local",
    retry: options.Retry = "",
    mix: options.Mix = "",
    experiments_dir: Experiments = None,
    results_dir: ResultsDir = None,
    config_dir: ConfigDir = None,
    dry_run: options.PlanOnly = False,
    as_json: AsJson = False,
    quiet: options.Quiet = False,
    debug: Debug = False,
) -> None:
    """Put a claim to the test: optbench reproduce lion-vit

    Exit code 0 where it is supported, 3 where it is not, or where the evidence is inconclusive."""
    from optbench.cli import reproduce as commands
    from optbench.cli.sweep import How

    asked = [word for word, given in ((slug, slug), ("--all", everything), ("--summary", summary)) if given]
    if len(asked) != 1:
        raise ConfigError(
            f"reproduce {' '.join(asked)}: expected one of them" if asked else "reproduce what?",
            "optbench reproduce SLUG, or --all, or --summary; optbench list experiments shows what there is",
        )
    if check and not summary:
        raise ConfigError("--check goes with --summary")
    if summary:
        commands.summarise(experiments_dir, output, check=check, notice=notice)
        return
    how = How(None, scale, None, jobs, per_device, executor, retry, results_dir, config_dir)
    wanted = commands.Wanted(experiments_dir, publish, output, options.split(mix), dry_run, as_json, quiet)
    if everything:
        commands.reproduce_all(how, wanted, notice, emit)
    else:
        commands.reproduce(slug, how, wanted, notice, emit)
