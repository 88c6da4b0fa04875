"""The command line of a training script: what `script=` starts, and the values that fill its placeholders.

    ./train.py                    a Python file
    package.module                a module, started as `python -m` does
    bash train.sh --fast          any command

`{optimizer.lr}` stands for the value of that key, `{run_folder}` and `{checkpoint_folder}` for folders of the run; a
brace itself is doubled.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from optbench.config import RunConfig
from optbench.config.own import SCRIPT
from optbench.config.sources import module_file, own_modules, words_of
from optbench.config.trees import flatten
from optbench.config.values import as_typed, shown
from optbench.errors import ConfigError, nearest

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
FOLDERS = ("run_folder", "checkpoint_folder")
OWN_KEYS = ("model.command", "model.args")


def argv_of(command: str) -> list[str]:
    """Return the words that start a script. Raises ConfigError for a file, module or command that does not exist."""
    where = f"{SCRIPT}={shown(command)}"
    words = words_of(command)
    if not words:
        what = "a quote is not closed" if command.strip() else "there is nothing to start"
        raise ConfigError(f"{where}: {what}", f"e.g. {SCRIPT}=./train.py")
    first, rest = words[0], words[1:]
    if first.endswith(".py"):
        if not os.path.isfile(first):
            raise ConfigError(f"{where}: there is no file {shown(first)} in {os.getcwd()}")
        return [sys.executable, first, *rest]
    if os.path.isfile(first):
        if not os.access(first, os.X_OK):
            raise ConfigError(f"{where}: {first} is not executable", f"chmod +x {first}, or {SCRIPT}='bash {command}'")
        return [os.path.abspath(first), *rest]
    if module_file(first) and ("." in first or not shutil.which(first)):
        return [sys.executable, "-m", first, *rest]
    if not shutil.which(first):
        hint = f"e.g. {SCRIPT}=./train.py, {SCRIPT}=package.module or {SCRIPT}='bash train.sh'"
        raise ConfigError(f"{where}: '{shown(first)}' is no file, module or command", hint)
    return words


def files_of(command: str) -> list[Path]:
    """Return the files that a command line names, that of a module included."""
    words = words_of(command)
    module = module_file(words[0]) if words else None
    return [*([module] if module else []), *(Path(word) for word in words if os.path.isfile(word))]


def filled(words: Sequence[str], values: Mapping[str, object], setting: str = "args") -> list[str]:
    """Return the words of a setting with every placeholder replaced. Raises ConfigError for an unknown one."""

    def value_of(match: re.Match[str]) -> str:
        text, key = match[0], match[1]
        if text in ("{{", "}}"):
            return text[0]
        if key is None:
            hint = "Write {{ and }} for braces, {optimizer.lr} for a value"
            raise ConfigError(f"{SCRIPT}.{setting}: a single '{text}'", hint)
        if key not in values:
            hint = f"{suggest_key(key, values, '{{{}}}')}. Write {{{{ and }}}} for braces themselves"
            raise ConfigError(f"{SCRIPT}.{setting}: there is no key {{{shown(key)}}}", hint)
        return as_typed(values[key])

    return [PLACEHOLDER.sub(value_of, word) for word in words]


def suggest_key(key: str, keys: Iterable[str], form: str = "{}") -> str:
    """Return "Did you mean optimizer.lr?" if any key is near, and how to list all; `form`: as in `suggest`."""
    match = nearest(key, keys)
    return f"Did you mean {form.format(match)}? " * bool(match) + f"`optbench show {SCRIPT}=...` lists every key"


def placeholders(config: RunConfig) -> set[str]:
    """Return the keys whose values the script gets as arguments."""
    found = {match[1] for word in template(config) for match in PLACEHOLDER.finditer(word)}
    return {key for key in found if key}


def template(config: RunConfig) -> list[str]:
    """Return the words of the command and of its arguments, with their placeholders."""
    settings = config.model.settings
    try:
        return [*argv_of(settings["command"]), *shlex.split(settings["args"])]
    except ValueError as error:
        raise ConfigError(f"{SCRIPT}.args={shown(settings['args'])}: {error}") from None


def values_of(config: RunConfig, run_folder: str = "", checkpoint_folder: str = "") -> dict[str, object]:
    """Return the values that placeholders may name, by key."""
    values = {key: value for key, value in flatten(config.as_dict()).items() if key not in OWN_KEYS}
    return {**values, "run_folder": run_folder, "checkpoint_folder": checkpoint_folder}


def is_about_optimizer(config: RunConfig, key: str) -> bool:
    """Return True for a key of the optimizer or of a modifier."""
    return key.partition(".")[0] in ("optimizer", *(modifier.name for modifier in config.modifiers))


def check(config: RunConfig) -> None:
    """Raise ConfigError for a script that cannot be started or compared, before anything is."""
    filled(template(config), values_of(config))
    filled([config.model.settings["read"]], values_of(config), "read")
    command = shown(config.model.settings["command"])
    if config.model.settings["direction"] is None:
        raise ConfigError(
            f"{SCRIPT}={command}: is a larger {config.model.settings['metric']} better, or a smaller one?",
            f'Add {SCRIPT}.direction=max or {SCRIPT}.direction=min, or write optbench.attach(metric="accuracy", '
            'direction="max") in the script',
        )
    told = any(is_about_optimizer(config, key) for key in placeholders(config))
    lacks = config.model.about["lacks"]
    for need in config.optimizer.about.get("needs", ()):
        if need in lacks and not told:
            raise ConfigError(f"optimizer={config.optimizer.name} does not fit {SCRIPT}={command}: {lacks[need]}")
    if config.model.about.get("attaches") is False and not told:
        raise ConfigError(
            f"{SCRIPT}={command}: it neither calls optbench nor gets the optimizer by its arguments, so that every "
            "optimizer would give the same result",
            f"Call optbench.attach() and run.optimizer(model) in it, or add {SCRIPT}.args='--lr {{optimizer.lr}}'",
        )


def own_code(files: Sequence[Path]) -> Iterator[Path]:
    """Yield the Python files among some files, and the user's own modules that they import."""
    for file in files:
        if file.suffix == ".py":
            yield file
            yield from own_modules(file).values()
