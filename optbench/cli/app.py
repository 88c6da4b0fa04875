"""The command line: one file a command. Heavy packages are imported inside functions, so that --help is instant."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from optbench import __version__
from optbench.cli.commands import CommandGroup
from optbench.cli.options import Debug
from optbench.cli.output import Output, log_to_stderr
from optbench.cli.streams import stdout_error
from optbench.errors import OptbenchError, package_errors, path_errors, printable

USAGE_ERROR: Any = typer.BadParameter.__mro__[2]  # ClickException; newer versions of Typer have their own
ABOUT = "Which deep-learning optimizer to use on your workload, with your budget, and how sure you can be."

EPILOG = """Try:

optbench run optimizer=lion model=mlp

optbench sweep optimizer=lion,adamw model=mlp --study first

optbench report first --text"""
TAKES_SETTINGS = {"run", "sweep", "show", "check", "bench"}

app = typer.Typer(
    name="optbench",
    cls=CommandGroup,
    help=ABOUT,
    epilog=EPILOG,
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


def with_script(words: Sequence[str]) -> list[str]:
    """Return the words of a command line; those of `run` and `sweep` after `--` are the arguments of the script."""
    if "--" not in words or not {"run", "sweep"} & set(words[: words.index("--")]):
        return list(words)
    from optbench.config.overrides import with_script_arguments

    return with_script_arguments(words)


def meant(error: Any, words: Sequence[str]) -> str:
    """Return a line with the setting that an unknown option is meant as: --optimizer lion, --lr=1e-3; "" for none."""
    option = str(getattr(error, "option_name", ""))
    name, place = option.lstrip("-"), next((i for i, word in enumerate(words) if word.partition("=")[0] == option), 0)
    key = setting(name) if TAKES_SETTINGS & set(words[:place]) else ""
    if not key:
        return ""
    _, equals, value = words[place].partition("=")
    value = value if equals else next(iter(words[place + 1 : place + 2]), "")
    known = value if value and not value.startswith("-") else "VALUE"
    return f"\nSettings have no dashes: {key}={printable(known)}"


def setting(name: str) -> str:
    """Return the setting of a run that a name stands for: optimizer, steps, lr (optimizer.lr); "" for none."""
    from optbench.config import GROUPS, load, packaged_folder
    from optbench.config.files import packaged_root

    if name.partition(".")[0] in {*GROUPS, *packaged_root(packaged_folder())}:
        return name
    return f"optimizer.{name}" if name in load([]).optimizer.settings else ""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit. `optbench.errors` lists the exit codes; a traceback (exit code 1) is a bug of
    optbench."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or bool(os.environ.get("OPTBENCH_DEBUG"))
    log_to_stderr()
    Output.current = None
    try:
        with path_errors(), package_errors():
            code = app(with_script(arguments), standalone_mode=False)
    except OptbenchError as error:
        if debug:
            raise
        code = error.exit_code
        (Output.current or Output(as_json="--json" in arguments)).error(error)
    except USAGE_ERROR as error:
        code = error.exit_code
        error.message = "\n".join(map(printable, error.message.splitlines()))  # it repeats words of the command line
        if setting_words := meant(error, arguments):
            error.message, error.possibilities = error.message + setting_words, None
        error.show()
    lost = stdout_error()
    if lost:
        Output().error(lost)
    raise SystemExit(code or (lost.exit_code if lost else 0))
