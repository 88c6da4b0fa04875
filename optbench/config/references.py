"""References between keys: `${seed}` stands for the value of `seed`, `${.lr}` for that of `lr` beside the key itself.

Nothing else of OmegaConf's language is followed: `${oc.env:TOKEN}` would write a secret into run.json, reports and W&B.
The shell inserts environment variables just as well, where everybody sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from optbench.config.trees import Node, is_list, is_mapping
from optbench.config.values import shown
from optbench.errors import ConfigError

REFERENCE = re.compile(r"(?<!\\)\$\{(\.*[A-Za-z_]\w*(?:\.\w+)*)\}", re.ASCII)
LONGEST = 10_000  # characters of a value
MOST_VALUES = 20_000  # of a tree whose references are followed
ABOUT = "about"  # facts refer to nothing
MISSING = "???"


def check_references(value: object, where: str) -> None:
    """Raise ConfigError for text with `${` that refers to no key. `where` comes before the key: "study.yaml: "."""
    if isinstance(value, str):
        if "${" in REFERENCE.sub("", value):
            variable = re.search(r"oc\.env:\s*(\w+)", value)
            hint = f'Let the shell insert it: "${variable[1]}"' if variable else "A reference to a key: ${seed}"
            raise ConfigError(f"{where}{shown(value)}: only references to other keys are allowed", hint)
    elif is_mapping(value):
        for key, inner in value.items():
            check_references(str(key), where)
            check_references(inner, f"{where.removesuffix('=')}{'.' if where.endswith('=') else ''}{shown(key)}=")
    elif is_list(value):
        for inner in value:
            check_references(inner, where)


class Resolver:
    """Follows the references of one tree."""

    def __init__(self, tree: Node) -> None:
        self.tree = tree
        self.visited = 0
        self.open: list[str] = []
        """The keys whose references are being followed."""

    def resolved(self, value: Any, key: str) -> Any:
        """Return the value of a dotted key with every reference replaced. Raises ConfigError."""
        self.visited += 1
        if self.visited > MOST_VALUES:
            raise ConfigError(f"{shown(key)}: its references lead to more than {MOST_VALUES:,} values")
        if is_mapping(value):
            return {
                name: inner if name == ABOUT else self.resolved(inner, f"{key}.{name}" if key else name)
                for name, inner in value.items()
            }
        if is_list(value):
            return [self.resolved(inner, key) for inner in value]
        if not isinstance(value, str):
            return value
        if value == MISSING:
            raise ConfigError(f"{shown(key)}: a value is missing", f"Set {shown(key)}=VALUE")
        if "${" not in value:
            return value
        check_references(value, f"{shown(key)}=")
        whole = REFERENCE.fullmatch(value)
        if whole:
            return self.target(whole[1], key)
        text = REFERENCE.sub(lambda match: str(self.target(match[1], key)), value)
        if len(text) > LONGEST and len(value) <= LONGEST:
            raise ConfigError(f"{shown(key)}: its references lead to more than {LONGEST:,} characters")
        return text

    def target(self, reference: str, key: str) -> Any:
        """Return the resolved value that a reference of `key` names."""
        name = reference.lstrip(".")
        above = key.split(".")[: -(len(reference) - len(name))] if reference != name else []
        path = [*above, *name.split(".")]
        full = ".".join(path)
        if full in self.open or full == key:
            raise ConfigError(f"{shown(key)}: ${{{shown(reference)}}} refers to itself")
        found: Any = self.tree
        for part in path:
            if not is_mapping(found) or part not in found:
                raise ConfigError(f"{shown(key)}: there is no key '{shown(full)}' to refer to")
            found = found[part]
        self.open.append(full)
        try:
            return self.resolved(found, full)
        finally:
            self.open.pop()


def resolved(tree: Mapping[str, Any]) -> Node:
    """Return the tree with every reference replaced by the value that it names. Raises ConfigError."""
    return Resolver(dict(tree)).resolved(tree, "")
