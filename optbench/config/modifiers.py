"""Modifiers: what can be laid over any optimizer (Lookahead, cautious updates), one file of conf/modifier each.

A modifier stands at the root of the configuration under its own name and is off while the key that its file calls
`about.switch` is null; `NAME=true` sets the values of `about.standard`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.config.files import find_option, options, read_yaml
from optbench.config.overrides import Assignment
from optbench.config.runconfig import Choice
from optbench.config.values import shown
from optbench.errors import ConfigError

FOLDER = "modifier"


def modifier_files(folders: Sequence[Path]) -> dict[str, Path]:
    """The file of every modifier by name."""
    found = {name: find_option(folders, FOLDER, name) for name in options(folders, FOLDER)}
    return {name: file for name, file in found.items() if file}


def modifier_nodes(folders: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The settings and facts of every modifier by name."""
    nodes = {name: read_yaml(file) for name, file in modifier_files(folders).items()}
    for name, node in nodes.items():
        about = node.get("about")
        complete = isinstance(about, dict) and about.get("switch") in node and "rank" in about
        if not complete or not ("target" in about or about.get("implementations")):
            raise ConfigError(f"modifier {name}: its file must state about.switch, about.rank and about.target")
    return nodes


def spelled_out(assignment: Assignment, nodes: Mapping[str, Mapping[str, Any]]) -> list[Assignment]:
    """`lookahead=true` as the assignments it stands for; any other assignment as it is."""
    node = nodes.get(assignment.key)
    if node is None or isinstance(assignment.value, Mapping):
        return [assignment]
    if not isinstance(assignment.value, bool):
        keys = ", ".join(f"{assignment.key}.{key}" for key in node if key != "about")
        raise ConfigError(f"{shown(assignment.text)}: expected true or false", f"Or set: {keys}")
    switch = node["about"]["switch"]
    values = dict(node["about"].get("standard", {})) if assignment.value else {switch: None}
    return [Assignment(f"{assignment.key}.{key}", value, assignment.text) for key, value in values.items()]


def active(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """The modifiers that are switched on, from the optimizer outwards."""
    on = [choice for choice in choices if choice.settings[choice.about["switch"]] is not None]
    return tuple(sorted(on, key=lambda choice: (choice.about["rank"], choice.name)))
