"""The YAML files that overrides choose."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from optbench.config import imports
from optbench.config.about import about_of
from optbench.config.custom_optimizer import custom_optimizer, peer_optimizer
from optbench.config.files import config_folders, find_option, options, read_yaml, root_defaults
from optbench.config.modifiers import expanded, modifier_files, modifier_nodes
from optbench.config.overrides import Assignment, parse
from optbench.config.runconfig import GROUPS, SECOND
from optbench.config.second_player import group_of
from optbench.config.target import sets_target, target_file
from optbench.config.trees import Node, flatten
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

PREFERRED = {"model": "data", "data": "model", "schedule": "optimizer"}
"""Groups that another group's file chooses (`about.data` of a model) where no override does."""


class Choices:
    """The option of every group, and the files behind it."""

    def __init__(self, overrides: Sequence[str], config_dir: str | Path | None = None) -> None:
        self.folders = config_folders(config_dir)
        self.modifiers = modifier_nodes(self.folders)
        assignments = [part for a in parse(overrides) for part in expanded(a, self.modifiers)]
        self.values = [a for a in assignments if a.key not in (*GROUPS, *SECOND)]
        """The overrides that set values."""
        self.chosen = {a.key: a for a in assignments if a.key in (*GROUPS, *SECOND)}
        """The overrides that choose an option, by group."""
        self.custom = self.custom_node(self.chosen["optimizer"]) if "optimizer" in self.chosen else None
        """The node of an optimizer without a YAML file."""
        self.files = self._files()
        """The names of the files to compose, by group; a group without one takes the default of run.yaml."""

    def custom_node(self, assignment: Assignment) -> Node | None:
        """Return the node of an optimizer without a YAML file: ./file.py:Name, package.Name, LIBRARY/NAME; or None."""
        name = str(assignment.value)
        if find_option(self.folders, group_of(assignment.key), name):
            return None
        return custom_optimizer(name) if imports.is_path(name) else peer_optimizer(name)

    def _files(self) -> dict[str, str]:
        groups = [group for group in GROUPS if group in self.chosen and not (group == "optimizer" and self.custom)]
        names = {group: self.checked(self.chosen[group]) for group in groups}
        for group, by in PREFERRED.items():
            if group not in names and not (by == "optimizer" and self.custom):
                file = find_option(self.folders, by, names.get(by, root_defaults(self.folders[-1])[by]))
                preferred = about_of(read_yaml(file), file).get(group) if file else None
                names |= {group: preferred} if preferred else {}
        return names

    def checked(self, assignment: Assignment) -> str:
        """Return the chosen name. Raises ConfigError for one that the group does not offer."""
        name, group = assignment.value, group_of(assignment.key)
        if isinstance(name, str) and find_option(self.folders, group, name):
            return name
        hint = suggest(str(name), options(self.folders, group), f"{assignment.key}={{}}")
        raise ConfigError(f"{shown(assignment.text)}: there is no {group} '{shown(name)}'", hint)

    @property
    def names(self) -> dict[str, str]:
        """The name of every group's option."""
        names = {**root_defaults(self.folders[-1]), **self.files}
        return names | ({"optimizer": self.custom["about"]["algorithm"]} if self.custom else {})

    def file_of(self, group: str) -> Path | None:
        """Return the file of a group's option."""
        return find_option(self.folders, group, self.names[group])

    @functools.cached_property
    def recipe(self) -> list[Assignment]:
        """The values that the recipe of this model, data and optimizer sets."""
        file = self.recipe_file
        tree = flatten(read_yaml(file)) if file else {}
        return [Assignment(key, value, f"recipe {file.name}") for key, value in tree.items()] if file else []

    @property
    def recipe_file(self) -> Path | None:
        """The file conf/recipe/MODEL-DATA-OPTIMIZER.yaml, if it exists."""
        name = "-".join(self.names[group] for group in ("model", "data", "optimizer"))
        return None if self.custom else find_option(self.folders, "recipe", name)

    @functools.cached_property
    def layers(self) -> list[tuple[Path, str]]:
        """The YAML files behind this configuration with the prefix of their keys, the strongest last."""
        names = self.names
        found = [(group, self.file_of(group)) for group in GROUPS]
        workload = find_option(self.folders, "workload", f"{names['model']}-{names['data']}")
        found += list(modifier_files(self.folders).items())
        files = [(self.folders[-1] / "root" / "run.yaml", "")] + [(file, f"{g}.") for g, file in found if file]
        return files + [(file, "") for file in (workload, self.recipe_file) if file]

    @functools.cached_property
    def target_file(self) -> Path | None:
        """The workload's target file, unless an override or another file sets the target."""
        return None if sets_target(self.values, self.layers) else target_file(self.folders, self.names)

    @property
    def shadowed(self) -> list[str]:
        """The user's files that hide packaged ones of the same name."""
        packaged = self.folders[-1]
        read = [file for file, _ in self.layers] + ([self.target_file] if self.target_file else [])
        own = [file for file in read if not file.is_relative_to(packaged)]
        return [str(file) for file in own if (packaged / file.parent.name / file.name).is_file()]
