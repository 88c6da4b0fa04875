"""`optbench new`: a file of one's own to start from."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output
from optbench.errors import ConfigError, suggest

KINDS = {
    "optimizer": "NAME.py",
    "model": "NAME.py",
    "data": "NAME.py",
    "task": "NAME.py",
    "schedule": "NAME.py",
    "clip": "NAME.py",
    "script": "NAME.py",
    "study": "NAME/study.yaml",
}
"""The file that each kind writes."""
IN_TEMPLATE, CLASS_IN_TEMPLATE = "my_name", "MyName"
COMMAND = re.compile(r"^#? *(optbench .*)$", re.MULTILINE)


def complete_kind(incomplete: str) -> list[str]:
    """Complete what can be written."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def new(
    kind: Annotated[
        str, typer.Argument(help=", ".join(KINDS), autocompletion=complete_kind, metavar="KIND", show_default=False)
    ] = "",
    name: Annotated[
        str, typer.Argument(help="A name such as my_opt: the file is my_opt.py", metavar="NAME", show_default=False)
    ] = "",
    folder: Annotated[Path, typer.Option("--folder", help="Write into this folder.  [default: here]")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write a commented template that runs at once: optbench new optimizer my_opt"""
    output = Output(as_json)
    if not (kind and name):
        known = f"KIND is one of {', '.join(KINDS)}"
        raise ConfigError(
            "new: say what to write, and its name", f"e.g. optbench new {kind or 'optimizer'} mine; {known}"
        )
    if kind not in KINDS:
        raise ConfigError(f"new {kind}: there is no such template", suggest(kind, KINDS))
    file = place(KINDS[kind], name, folder, force)
    text = template(kind, name)
    from optbench.store import storage_errors, write_atomically

    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda out: out.write(text.encode()))
    commands = [placed(command, name, folder) for command in COMMAND.findall(text)]
    tree = {"kind": kind, "file": str(file), "commands": commands}
    output.lines(tree, [f"written: {file}", "", *(f"  {command}" for command in commands)])


def template(kind: str, name: str) -> str:
    """Return the text of a template with the name put in."""
    from optbench import templates

    source = Path(templates.__path__[0]) / (f"{kind}.py" if KINDS[kind].endswith(".py") else f"{kind}.yaml")
    text = source.read_text(encoding="utf-8")
    return text.replace(CLASS_IN_TEMPLATE, class_name(name)).replace(IN_TEMPLATE, name)


def class_name(name: str) -> str:
    """Return the name of a class: MyOpt for my_opt. One with a capital letter stays as it is."""
    words = [word for word in name.split("_") if word]
    if not words or any(c.isupper() for c in name):
        return name
    return "".join(word[0].upper() + word[1:] for word in words)


def place(form: str, name: str, folder: Path, force: bool) -> Path:
    """Return the file to write. Raise ConfigError for a name that cannot be one, or for a file that exists."""
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii():
        raise ConfigError(
            f"new ... {name}: a name has letters, digits and _, and does not begin with a digit",
            f"e.g. {repaired(name)}",
        )
    file = folder / form.replace("NAME", name)
    if form.endswith(".py") and hides_module(file):
        raise ConfigError(f"{file.name} would hide the module {name} from what imports it", f"e.g. my_{name}")
    inner = folder / name
    if inner in file.parents and inner.is_symlink():
        raise ConfigError(f"{inner} is a link to another folder", "Choose another name")
    if file.is_dir() and not file.is_symlink():
        raise ConfigError(f"{file} is a folder", "Choose another name")
    if os.path.lexists(file) and not force:
        raise ConfigError(f"{file} exists", "Choose another name, or replace it with --force")
    return file


def repaired(name: str) -> str:
    """Return a name like the given one that can be one."""
    plain = re.sub(r"\W+", "_", Path(name).name.removesuffix(".py"), flags=re.ASCII).strip("_")
    return plain if plain.isidentifier() and not keyword.iskeyword(plain) else f"my_{plain or 'own'}"


def hides_module(file: Path) -> bool:
    """Return True if a module of this name exists elsewhere: a file beside it would be imported in its place."""
    name = file.stem
    if name in sys.stdlib_module_names or name in sys.builtin_module_names:
        return True
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    if spec is None or spec.origin is None:  # a folder without code
        return False
    return Path(spec.origin).resolve().parent not in (file.absolute().parent.resolve(), Path.cwd())


def placed(command: str, name: str, folder: Path) -> str:
    """Return a command with the file's folder, as it is typed from here."""
    where = os.path.join(folder, "")
    if where in ("", "./"):
        return command
    at = where if os.path.isabs(where) else f"./{where.removeprefix('./')}"
    words = [word.replace(f"./{name}.py", f"{at}{name}.py") for word in shlex.split(command)]
    return shlex.join([f"{at}{word}" if word.startswith(f"{name}/") else word for word in words])
