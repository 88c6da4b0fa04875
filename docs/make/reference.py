"""Write the pages of docs/reference/ that follow from the code: python docs/make/reference.py

cli.md from the commands and their options, config.md from the comments of conf/, columns.md from optbench.records,
exit-codes.md from optbench.errors, messages.md from the errors that the package raises. A test holds the pages to this
script."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
KEY = re.compile(r"^([a-z_][\w]*):(.*?)(?:\s+#\s(.*))?$")
NOTE = "\n<!-- Written by docs/make/reference.py. -->\n"


def pages() -> dict[str, str]:
    """Return the text of every page by its file's name."""
    written = {"cli.md": cli(), "config.md": config(), "columns.md": columns(), "exit-codes.md": exit_codes()}
    written["messages.md"] = messages()
    return {name: text.replace("\n", f"\n{NOTE}", 1) for name, text in written.items()}


def table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(cell(word) for word in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def cell(words: str) -> str:
    """Return text that cannot break a table; code with a bar in it as HTML, which all renderers show alike."""
    line = " ".join(words.split())
    if "|" in line and line.startswith("`"):
        return f"<code>{html.escape(line.strip('`'), quote=False).replace('|', '&#124;')}</code>"
    return line.replace("|", "\\|")


# -- the command line --------------------------------------------------------------------------------------------------


def cli() -> str:
    """Return every command with its arguments and options."""
    import typer

    from optbench.cli.app import app

    root: Any = typer.main.get_command(app)
    parts = [
        "# Command line\n\nEvery command has `-h`. `optbench --install-completion` makes the tab key complete them.\n"
    ]
    for name, command in commands(root, "optbench"):
        parts.append(f"## {name}\n\n{command.help or ''}\n")
        rows = [
            (usage(one), " ".join((getattr(one, "help", "") or "").split()), default(one)) for one in shown(command)
        ]
        if rows:
            parts.append(table(("option", "meaning", "default"), *rows))
    return "\n".join(parts)


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each command with its full name."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        full = f"{path} {name}"
        yield full, command
        if hasattr(command, "commands"):
            yield from commands(command, full)


def shown(command: Any) -> list[Any]:
    """Return the parameters that `-h` shows, but for itself."""
    return [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]


def usage(one: Any) -> str:
    """Return an option as it is typed."""
    if one.param_type_name == "argument":
        return f"`{one.metavar or one.name.upper()}`"
    words = ", ".join(f"`{word}`" for word in [*one.opts, *one.secondary_opts])
    return words if one.is_flag else f"{words} {(one.metavar or one.name).upper()}"


def default(one: Any) -> str:
    """Return an option's default, empty without one."""
    value = one.default
    known = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return f"`{value}`" if known and value != "" else ""


# -- the configuration -------------------------------------------------------------------------------------------------

GROUPS = {
    "root": ("Keys of a run", "Every key that is not in a group: `steps=1e4`, `precision=bf16`."),
    "model": ("Models", "`model=NAME`, settings as `model.KEY=`."),
    "task": ("Tasks", "`task=NAME`; its settings are `model.task.KEY=`."),
    "data": ("Data sets", "`data=NAME`, settings as `data.KEY=`."),
    "optimizer": ("Optimizers", "`optimizer=NAME`, settings as `optimizer.KEY=`."),
    "modifier": ("Modifiers", "Over any optimizer: `NAME=true`, or `NAME.KEY=`."),
    "schedule": ("Schedules", "`schedule=NAME`, settings as `schedule.KEY=`."),
    "clip": ("Gradient clipping", "`clip=NAME`, settings as `clip.KEY=`."),
    "protocol": ("Protocols of a sweep", "`--protocol NAME`; each key is also an option or a key of a study.yaml."),
    "executor": ("Executors of a sweep", "`--executor NAME,KEY=VALUE`."),
}


def config() -> str:
    """Return every configuration key with its default, its valid values and its meaning."""
    parts = ["# Configuration keys\n\n`optbench show WORDS` prints the values of a run, and where each comes from.\n"]
    for group, (title, words) in GROUPS.items():
        parts.append(f"## {title}\n\n{words}\n")
        for file in sorted((ROOT / "conf" / group).rglob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            rows = keys_of(text)
            if rows or group != "root":
                heading = text.partition("\n")[0].removeprefix("# ") if text.startswith("#") else ""
                place = file.relative_to(ROOT).as_posix()
                parts.append(f"### {file.stem}\n\n{heading} ([{place}](../../{place}))\n")
            if rows:
                parts.append(table(("key", "default", "valid", "meaning"), *rows))
    return "\n".join(parts)


def keys_of(text: str) -> list[tuple[str, ...]]:
    """Return key, default, valid values and comment of each setting of a file, those of nested mappings too."""
    about = (yaml.safe_load(text) or {}).get("about", {})
    valid = about.get("valid", {})
    found: list[tuple[str, ...]] = []
    path: list[tuple[int, str]] = []
    for line in text.split("\n"):
        match = KEY.match(line.strip())
        if line.startswith("about:"):
            break
        if not match or line.startswith(("#", "defaults")):
            continue
        depth = len(line) - len(line.lstrip())
        path = [(one, key) for one, key in path if one < depth] + [(depth, match[1])]
        key, value = ".".join(key for _, key in path), match[2].strip()
        if value:
            found.append((f"`{key}`", f"`{value}`", code(valid.get(key, "")), match[3] or ""))
    return found


def code(words: object) -> str:
    """Return text as code, nothing for nothing."""
    return f"`{words}`" if words else ""


# -- results -----------------------------------------------------------------------------------------------------------


def columns() -> str:
    """Return the columns of records."""
    from optbench.records import COLUMNS

    rows = [(f"`{name}`", one.unit, one.meaning) for name, one in COLUMNS.items()]
    head = "# Columns of records\n\nA line of `metrics.jsonl` is one record; `optbench list columns` prints this.\n\n"
    return head + table(("column", "unit", "meaning"), *rows)


def exit_codes() -> str:
    """Return the exit codes with the errors behind them."""
    from optbench import errors

    tree = (errors.__doc__ or "").partition("\n\n")[2].partition("\n\nAny other")[0]
    codes = (
        ("code", "meaning"),
        ("0", "done, and what was asked holds"),
        ("1", "a bug of optbench: please report it, with the traceback"),
        ("2", "wrong usage or configuration, or results cannot be written; nothing was run or lost"),
        (
            "3",
            "finished, but something asked for does not hold: a run failed or diverged, a check differs, a claim is "
            "not supported, `--assert` is not shown; or another process holds the run or the study",
        ),
        ("4", "a dependency, a data set or a device is missing"),
        ("5", "no stored run matches"),
        ("130, 143", "interrupted by Ctrl-C or SIGTERM; the checkpoint is written, and the same command goes on"),
    )
    intro = (
        "# Exit codes\n\nAn error is one message and a hint on stderr; with `--json` it is a document on stdout.\n\n"
    )
    return (
        f"{intro}{table(*codes)}\nThe errors of the Python API, with their exit codes:\n\n```\n{tree.rstrip()}\n```\n"
    )


# -- messages ----------------------------------------------------------------------------------------------------------


def messages() -> str:
    """Return the messages of errors with their hints, by package. What a message fills in stands as `…`."""
    found: dict[str, dict[str, str]] = {}
    for file in sorted((ROOT / "optbench").rglob("*.py")):
        package = file.relative_to(ROOT / "optbench").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in raised():
                words = [text for one in node.args[:2] if (text := template(one))]
                if words and not words[0].startswith("…"):
                    found.setdefault(package, {}).setdefault(words[0], " ".join(words[1:]))
    parts = [
        "# Messages\n\nErrors that you can mend, and the way out that each prints. `…` stands for what it fills in.\n"
    ]
    for package, rows in found.items():
        parts.append(f"## {package}\n\n{table(('message', 'way out'), *sorted(rows.items()))}")
    return "\n".join(parts)


def raised() -> set[str]:
    """Return the names of the package's errors."""
    from optbench import errors

    return {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}


def template(node: ast.expr) -> str:
    """Return a text with what is filled in as `…`; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values)
    return ""


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
