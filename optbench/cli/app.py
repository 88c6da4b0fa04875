"""The command line: one file a command. Heavy packages are imported inside functions, so that --help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from optbench import __version__
from optbench.cli.commands import CommandGroup
from optbench.cli.options import Debug
from optbench.cli.output import Output, log_to_stderr
from optbench.errors import OptbenchError

ABOUT = "Which deep-learning optimizer to use on your workload, with your budget, and how sure you can be."

app = typer.Typer(
    name="optbench",
    cls=CommandGroup,
    help=ABOUT,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def show_version(value: bool) -> None:
    """Print the version and exit."""
    if value:
        print(__version__)
        raise typer.Exit


@app.callback(help=ABOUT)
def root(
    debug: Debug = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read the options that come before the command."""
    if debug:
        os.environ["OPTBENCH_DEBUG"] = "1"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line. `optbench.errors` lists the exit codes; a traceback (exit code 1) is a bug of optbench."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get("OPTBENCH_DEBUG"))
    log_to_stderr()
    Output.current = None
    try:
        app(arguments)
    except OptbenchError as error:
        if debug:
            raise
        output = Output.current or Output(as_json="--json" in arguments)
        output.error(error)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:  # the reader of our output is gone, e.g. `| head`
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
