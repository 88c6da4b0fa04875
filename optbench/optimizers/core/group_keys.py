"""Settings that an optimizer looks for in its groups and that no argument sets, such as the "rank" of GaLore.

Without them such an optimizer runs as another one, in silence: GaLore as plain AdamW."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from optbench.config.own_optimizer import declared
from optbench.config.user_code import cause
from optbench.errors import ConfigError
from optbench.optimizers.core.interface import Optimizer


def require_group_settings(optimizer: Optimizer, implementation: Mapping[str, Any]) -> None:
    """Raise ConfigError if the optimizer's code asks `"rank" in group` for a key that none of its groups has."""
    held = {key for group in optimizer.param_groups for key in group}
    missing = sorted(asked_of(type(optimizer)) - held)
    if missing:
        facts = groups_with(type(optimizer), sorted(read_of(type(optimizer)) - held))
        raise ConfigError(
            f"{type(optimizer).__name__} looks for '{missing[0]}' in its groups, and no group has it: "
            "it would run as another optimizer",
            f"Say what its groups hold: {declared(facts, implementation)}; or groups: [] for nothing",
        )


def demanded(kind: object, error: Exception) -> list[str]:
    """Return the keys of a group that an error is about: one that is missing, or one tested for that its words name."""
    if not isinstance(kind, type):
        return []
    words = re.findall(r"\w+", cause(error))
    return sorted({*words} & (read_of(kind) if isinstance(error, KeyError) else asked_of(kind)))


def groups_with(kind: type, keys: Iterable[str], *, everywhere: bool = False) -> dict[str, Any]:
    """Return the fact `groups` with these keys for matrices, and for the rest if they are needed `everywhere`.

    A flag is true for matrices and false for the rest."""
    flags = {key: False for key, how in uses(kind) if how == "if" and key in keys}
    values = dict.fromkeys(keys, "VALUE")
    rest = {**values, **flags} if everywhere else flags
    return {"groups": {"matrices": {**values, **dict.fromkeys(flags, True)}, "rest": rest}}


@cache
def asked_of(kind: type) -> frozenset[str]:
    """Return the keys that a class tests for in a group and never puts there."""
    return frozenset(key for key, how in uses(kind) if how == "in") - {key for key, how in uses(kind) if how == "set"}


@cache
def read_of(kind: type) -> frozenset[str]:
    """Return the keys that a class tests for in a group or reads from it, and never puts there."""
    found = frozenset(key for key, how in uses(kind) if how in ("in", "get"))
    return found - {key for key, how in uses(kind) if how == "set"}


@cache
def uses(kind: type) -> tuple[tuple[str, str], ...]:
    """Return (key, "in" | "get" | "got" | "set" | "if") for every constant key of a group in the code of a class and
    its bases."""
    found: list[tuple[str, str]] = []
    for base in kind.__mro__:
        if base is not object and not base.__module__.startswith("torch."):
            found += uses_in(base)
    return tuple(found)


def uses_in(kind: type) -> Iterator[tuple[str, str]]:
    """Yield the uses in a class's own code; none of a class whose source cannot be read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            yield from ((key, "in") for key in texts(node.left) if is_group(node.comparators[0]))
        elif isinstance(node, ast.Subscript) and is_group(node.value):
            how = "get" if isinstance(node.ctx, ast.Load) else "set"
            yield from ((key, how) for key in texts(node.slice))
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Subscript) and is_group(node.test.value):
            yield from ((key, "if") for key in texts(node.test.slice))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_group(node.func.value):
            how = {"get": "got", "setdefault": "set"}.get(node.func.attr, "")
            yield from ((key, how) for key in texts(*node.args[:1]) if how)


def is_group(node: ast.AST) -> bool:
    """Return True for a variable that is called a group: group, param_group."""
    return isinstance(node, ast.Name) and "group" in node.id


def texts(*nodes: ast.AST) -> list[str]:
    """Return the texts among some constants."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
