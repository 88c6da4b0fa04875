"""Modifiers change any optimizer (Lookahead, cautious updates); each is a file of conf/modifier.

A modifier is a root key under its own name. It is off while the key that its file calls `about.switch` is null;
`NAME=true` sets the values of `about.standard`, `NAME=WORD` those of `about.words`, and `NAME=NUMBER` that key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.config.about import check_about
from optbench.config.files import find_option, options, read_yaml
from optbench.config.overrides import Assignment
from optbench.config.runconfig import Choice
from optbench.config.trees import Node, is_mapping
from optbench.config.values import shown
from optbench.errors import ConfigError

FOLDER = "modifier"


def modifier_files(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the file of every modifier by name."""
    found = {name: find_option(folders, FOLDER, name) for name in options(folders, FOLDER)}
    return {name: file for name, file in found.items() if file}


def modifier_nodes(folders: Sequence[Path]) -> dict[str, Node]:
    """Return the file's mapping of every modifier by name."""
    files = modifier_files(folders)
    nodes = {name: read_yaml(file) for name, file in files.items()}
    for name, node in nodes.items():
        check_about(node, files[name])
        about: Node = node["about"]
        if about.get("switch") not in node or "rank" not in about:
            raise ConfigError(f"{files[name]}: about.switch or about.rank is missing")
    return nodes


def expanded(assignment: Assignment, nodes: Mapping[str, Node]) -> list[Assignment]:
    """Return the assignments for which `lookahead=true`, `state=int8` or `qk_clip=100` stands; others unchanged."""
    node = nodes.get(assignment.key)
    if node is None or is_mapping(assignment.value):
        return [assignment]
    about = node["about"]
    words: Mapping[object, Mapping[str, object]] = {
        **about.get("words", {}),
        True: about.get("standard", {}),
        False: {about["switch"]: None},
    }
    value = assignment.value
    values = words.get(value) if isinstance(value, (bool, str)) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        values = {about["switch"]: value}
    if values is None:
        keys = ", ".join(f"{assignment.key}.{key}" for key in node if key != "about")
        is_number = "[" in (spec := about["valid"][about["switch"]]) or "(" in spec
        expected = ", ".join([*about.get("words", ()), *(["a number"] if is_number else []), "true"])
        raise ConfigError(f"{shown(assignment.text)}: expected {expected} or false", f"Or set: {keys}")
    return [Assignment(f"{assignment.key}.{key}", value, assignment.text) for key, value in values.items()]


def active(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Return the modifiers that are on, the one next to the optimizer first."""
    on = [choice for choice in choices if choice.settings[choice.about["switch"]] is not None]
    return tuple(sorted(on, key=lambda choice: (choice.about["rank"], choice.name)))
