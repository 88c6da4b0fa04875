"""The commands by name. Each is imported when it is used, so that --help and the other commands don't pay for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "run": ("run:run", "Train once."),
    "sweep": ("sweep:sweep", "Tune with equal budgets, then rerun on fresh seeds."),
    "list": ("inspect:list_", "List what can be chosen, and the columns of results."),
    "new": ("new:new", "Write a commented template that runs at once."),
    "show": ("inspect:show", "Show the resolved configuration and the origin of each value."),
    "doctor": ("doctor:doctor", "Check this machine: packages, devices, compiler, folders, W&B."),
    "check": ("check:check", "Check an optimizer against its paper."),
    "bench": ("bench:bench", "Measure speed or memory against the alternatives."),
    "report": ("report:report", "Say which optimizer to use, and how sure that is."),
    "compare": ("compare:compare", "Give the verdict between two, with its evidence."),
    "merge": ("merge:merge", "Merge the results of several machines."),
    "score": ("score:score", "Score any benchmark's times to target."),
    "reproduce": ("reproduce:reproduce", "Put a claim to the test."),
    "data": ("data:list_ data:get data:verify", "List, fetch and verify data sets."),
    "targets": ("targets:set_ targets:list_", "Set or list values of the validation metric that count as trained."),
    "import": ("score:algoperf", "Read other benchmarks' results."),
}
"""Module and function of each command, and its line in --help. Several functions are a group of commands."""

GROUPS = ("data", "targets", "import")


class LazyCommands(dict[str, Any]):
    """The commands of `CommandGroup`, built when they are read."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = build(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]


class CommandGroup(TyperGroup):
    """The root of the command line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands = LazyCommands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def build(name: str) -> Any:
    """Import a command or a group of commands."""
    targets, line = COMMANDS[name]
    is_group = name in GROUPS
    app = typer.Typer(
        help=line if is_group else None, no_args_is_help=is_group, add_completion=False, rich_markup_mode=None
    )
    for function in functions(targets):
        app.command(function.__name__.rstrip("_"))(function)
    if is_group:
        app.callback()(lambda: None)  # a group with a single command stays a group
    return typer.main.get_command(app)


def functions(targets: str) -> Iterator[Any]:
    """Yield the functions named "MODULE:FUNCTION ..."."""
    for target in targets.split():
        module, _, function = target.partition(":")
        yield getattr(import_module(f"optbench.cli.{module}"), function)
