"""Arguments from Python as overrides in Hydra's grammar.

"optimizer=lion model=vit"                    the words of a command line, quoted as in a shell
["optimizer=lion", "model=vit"]               its words, one by one
{"optimizer.lr": 3e-4}                        keys with values of Python; None is null
optimizer="lion", steps=100                   the same as keywords, for keys without a dot

In a sweep a list of values is a comparison; a value that is itself a list is given as a tuple.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from optbench.config.choices import CHOSEN
from optbench.config.files import config_folders, packaged_root
from optbench.config.imports import importing
from optbench.config.modifiers import modifier_files
from optbench.config.overrides import grammar, in_quotes, is_bare_text, with_script_arguments
from optbench.config.values import as_typed, shown
from optbench.errors import ConfigError, suggest

Overrides: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Sequence[str]
SWEPT = re.compile(r"(interval|range|choice|glob|tag)\(.*\)", re.DOTALL)  # a call of the grammar, not text
EXAMPLE = 'e.g. optbench.{}(optimizer="lion", model="vit", steps=100)'


def words_of(
    overrides: Overrides,
    keywords: Mapping[str, Any],
    function: Callable[..., Any],
    config_dir: Path | None,
    *,
    sweeps: bool = False,
) -> list[str]:
    """Return the words that a command line would have, from the arguments of one of our functions; of one key the last
    wins. Raises ConfigError for a keyword that is neither an option of the function nor a key, and for what cannot be a
    value."""
    if importing():
        raise ConfigError(
            f"optbench.{function.__name__} is called while optbench imports {shown(importing()[-1])}",
            'Put the call under `if __name__ == "__main__":`, or the class into a file of its own',
        )
    known = known_names(config_dir)
    for name in keywords:
        if name not in known:
            hint = suggest(name, [*known, *list(inspect.signature(function).parameters)[1:-1]])
            raise ConfigError(f"{name}={shown(keywords[name])}: there is no key or option '{name}'", hint)
    return [*given_words(overrides, function.__name__, sweeps), *pairs(keywords, sweeps)]


def known_names(config_dir: Path | None) -> list[str]:
    """Return the keys without a dot: of run.yaml, the groups, the modifiers."""
    folders = config_folders(config_dir)
    root = [key for key in packaged_root(folders[-1]) if key != "about"]
    return [*CHOSEN, *modifier_files(folders), *root]


def given_words(overrides: Overrides, function: str, sweeps: bool) -> Iterator[str]:
    """Yield the words of the first argument."""
    if isinstance(overrides, Mapping):
        yield from pairs(overrides, sweeps)
        return
    if isinstance(overrides, os.PathLike):
        overrides = [os.fspath(overrides)]
    if isinstance(overrides, str):
        overrides = split(overrides)
    if not isinstance(overrides, Sequence) or isinstance(overrides, bytes):
        raise ConfigError(f"{shown(repr(overrides))}: expected text, a list or a mapping", EXAMPLE.format(function))
    words = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in overrides]
    for word in words:
        if not isinstance(word, str) or "\0" in word:
            raise ConfigError(f"{shown(repr(word))}: expected key=value as text", EXAMPLE.format(function))
    for word in with_script_arguments(words):
        if word.startswith("-"):
            raise ConfigError(f"{shown(word)}: options are keywords in Python", EXAMPLE.format(function))
        yield word


def split(text: str) -> list[str]:
    """Return the words of a line, quoted as in a shell; the path of a file that exists is one word."""
    if "=" not in text and os.path.exists(text):
        return [text]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{shown(text)}: cannot be split into words ({error})", "Give a list of words") from None


def pairs(given: Mapping[str, Any], sweeps: bool) -> Iterator[str]:
    """Yield key=value for each key; a mapping inside is a group of keys."""
    for key, value in given.items():
        if not isinstance(key, str) or "=" in key or not key:
            raise ConfigError(f"{shown(repr(key))}: not a key", "Keys are text, e.g. optimizer.lr")
        if isinstance(value, Mapping):
            yield from pairs({f"{key}.{inner}": item for inner, item in value.items()}, sweeps)
        else:
            yield f"{key}={compared(key, value) if sweeps else text_of(key, value)}"


def compared(key: str, value: Any) -> str:
    """Return the value of a sweep's key: a list is compared or searched, an interval is text."""
    value = plain(value)
    if isinstance(value, str) and SWEPT.fullmatch(value):
        return value
    if not isinstance(value, (list, range)):
        return text_of(key, value)
    if not value:
        raise ConfigError(f"{key}=[]: there is nothing to compare", "Give one or more values, or leave it out")
    return ",".join(text_of(key, item, listed=len(value) > 1) for item in value)


def text_of(key: str, value: Any, *, listed: bool = False) -> str:
    """Return a value as the grammar reads it back. `listed`: other values follow it."""
    value = plain(value)
    if value is None or isinstance(value, (bool, int)):
        return as_typed(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return text_in_grammar(key, value, listed)
    if isinstance(value, (list, tuple, range)):
        return f"[{','.join(text_of(key, item, listed=True) for item in value)}]"
    raise ConfigError(f"{key}={shown(repr(value))}: {type(value).__name__} cannot be a value", hint_for(value))


def text_in_grammar(key: str, value: str, listed: bool) -> str:
    """Return text in quotes, or without them where the grammar reads the same."""
    if is_bare_text(key, value) and not listed:
        return value
    try:
        read: Any = grammar(f"{key}={value}")
        same = not read.is_sweep and isinstance(read.value, str) and read.value == value
    except Exception:  # the grammar raises any
        same = False
    return value if same and value and value == value.strip() else in_quotes(value)


def plain(value: Any) -> Any:
    """Return numbers and arrays of numpy and torch, and paths, as plain Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if not isinstance(value, type) and callable(getattr(value, "tolist", None)):
        return value.tolist()
    return value


def hint_for(value: Any) -> str:
    """Return how to name a class or a function instead; empty for anything else."""
    name = getattr(value, "__name__", None)
    return f'Name it by its file: "./FILE.py:{name}", or as "PACKAGE.{name}"' if callable(value) and name else ""


def path_of(option: str, value: object) -> Path | None:
    """Return a path that an option names. Raises ConfigError for anything else."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or "\0" in os.fspath(value):
        raise ConfigError(f"{option}={shown(repr(value))}: expected a path")
    return Path(os.fspath(value))


def check_texts(**options: object) -> None:
    """Raise ConfigError for an option that is neither text nor None."""
    for option, value in options.items():
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{option}={shown(repr(value))}: expected text")


def check_flags(**options: object) -> None:
    """Raise ConfigError for an option that is neither True nor False."""
    for option, value in options.items():
        if not isinstance(plain(value), bool):
            raise ConfigError(f"{option}={shown(repr(value))}: expected True or False")


def texts_of(option: str, value: object) -> list[str]:
    """Return the words of an option that takes several: a list, or text with commas between them."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(word, str) for word in value):
        return [str(word) for word in value]
    raise ConfigError(f"{option}={shown(repr(value))}: expected words, e.g. {option}=['failed']")
