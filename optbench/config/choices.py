"""The YAML files that overrides choose."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optbench.config.about import about_of, check_about
from optbench.config.files import config_folders, find_option, options, read_yaml, root_defaults
from optbench.config.model_task import named_task
from optbench.config.modifiers import expanded, modifier_files, modifier_nodes
from optbench.config.overrides import Assignment, parse
from optbench.config.own import SCRIPT, TASK, aliased, check_alias, name_of, own_node, script_nodes
from optbench.config.runconfig import GROUPS, SECOND
from optbench.config.second_player import group_of
from optbench.config.target import FOLDER as TARGETS
from optbench.config.target import WORKLOAD_GROUPS, sets_target
from optbench.config.trees import Node, flatten, is_mapping
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

PREFERRED = {"model": "data", "data": "model", "schedule": "optimizer"}
"""Groups that another group's file chooses (`about.data` of a model) where no override does."""
OF_TASK = ("clip",)
"""Groups that the task's file chooses (`about.clip`) where no override does."""
CHOSEN = (*GROUPS, *SECOND, TASK, SCRIPT)
DEFAULT_TASK = "supervised"  # of a model that has none


class Choices:
    """The option of every group, and the files behind it."""

    def __init__(self, overrides: Sequence[str], config_dir: str | Path | None = None) -> None:
        self.folders = config_folders(config_dir)
        self.modifiers = modifier_nodes(self.folders)
        assignments = [part for a in parse(overrides) for part in expanded(a, self.modifiers)]
        for a in assignments:
            check_alias(a.key, a.text, {other.key for other in assignments})
        self.values = [replace(a, key=aliased(a.key)) for a in assignments if a.key not in CHOSEN]
        """The overrides that set values."""
        self.chosen = {a.key: a for a in assignments if a.key in CHOSEN}
        """The overrides that choose an option, by group."""
        self.custom = self._custom()
        """The nodes of the choices without a YAML file, by group."""
        self.files = self._files()
        """The names of the files to compose, by group; a group without one takes the default of run.yaml."""
        self.files |= self._of_task()

    def _custom(self) -> dict[str, Node]:
        """Return the nodes of the choices without a YAML file, by group. A script stands for model and data."""
        nodes = {
            group: node for group in GROUPS if group in self.chosen and (node := self.custom_node(self.chosen[group]))
        }
        if SCRIPT not in self.chosen:
            return nodes
        of_script = script_nodes(str(self.chosen[SCRIPT].value))
        for group in (*of_script, TASK):
            if group in self.chosen:
                text, script = self.chosen[group].text, self.chosen[SCRIPT].text
                raise ConfigError(f"{shown(text)}: {shown(script)} brings its own {group}", f"Leave out {group}=")
        return {**nodes, **of_script}

    def custom_node(self, assignment: Assignment) -> Node | None:
        """Return the node of a choice without a YAML file: ./file.py:Name, package.Name, LIBRARY/NAME; or None."""
        name, group = str(assignment.value), group_of(assignment.key)
        return None if find_option(self.folders, group, name) else own_node(group, name)

    def _files(self) -> dict[str, str]:
        groups = [group for group in GROUPS if group in self.chosen and group not in self.custom]
        names = {group: self.checked(self.chosen[group]) for group in groups}
        for group, by in PREFERRED.items():
            if group not in names and group not in self.custom:
                preferred = self._about(by, names).get(group)
                names |= {group: preferred} if preferred else {}
        return names

    def _of_task(self) -> dict[str, str]:
        """Return the options that the task's file chooses."""
        about = (self.task or {}).get("about", {})
        free = [group for group in OF_TASK if group not in self.chosen and group in about]
        return {group: about[group] for group in free}

    def _about(self, group: str, names: Mapping[str, str]) -> Node:
        """Return the facts of a group's choice, given the names of files chosen so far."""
        if group in self.custom:
            return self.custom[group]["about"]
        file = find_option(self.folders, group, names.get(group, root_defaults(self.folders[-1])[group]))
        return about_of(read_yaml(file), file) if file else {}

    @functools.cached_property
    def own_task(self) -> object:
        """The name of the task in the model's file; None where the file defines a task itself."""
        file = self.file_of("model")
        model = read_yaml(file) if file else self.custom.get("model", {})
        return named_task(model) if "task" in model else DEFAULT_TASK

    @functools.cached_property
    def task_choice(self) -> Assignment | None:
        """The choice of the task: an override's, or of the data's file, or of the model's file, the last one unless it
        gives way to the data's (`about.gives_way`).

        None for a task that the model's file defines itself."""
        if SCRIPT in self.chosen:
            return None
        of_data = self._about("data", self.files).get(TASK)
        name = of_data if of_data and self._gives_way(self.own_task) else self.own_task
        where = f"{self.file_of('model') or 'model'}: {TASK}: {shown(name)}"
        return self.chosen.get(TASK) or (Assignment(TASK, name, where) if name is not None else None)

    def _gives_way(self, task: object) -> bool:
        """Return True for the name of a task that the data's choice replaces."""
        file = find_option(self.folders, TASK, task) if isinstance(task, str) else None
        return file is not None and bool(about_of(read_yaml(file), file).get("gives_way"))

    @functools.cached_property
    def task(self) -> Node | None:
        """The node of the chosen task; None to keep the task that the model's file defines."""
        choice = self.task_choice
        return (self.custom_node(choice) or read_yaml(self.option_file(choice))) if choice else None

    @property
    def task_file(self) -> Path | None:
        """The file of the chosen task, if it has one."""
        choice = self.task_choice
        return find_option(self.folders, TASK, str(choice.value)) if choice else None

    def is_own_model(self, node: Node) -> bool:
        """Return True for the node of a YAML file that builds a model of the user's."""
        about = node.get("about", {})
        target = about.get("target") if is_mapping(about) else None
        return "model" not in self.custom and isinstance(target, str) and not target.startswith("optbench.")

    def option_file(self, assignment: Assignment) -> Path:
        """Return the file of a choice. Raises ConfigError for a name that the group does not offer."""
        group = group_of(assignment.key)
        file = find_option(self.folders, group, self.checked(assignment))
        assert file is not None
        check_about(read_yaml(file), file)
        return file

    def checked(self, assignment: Assignment) -> str:
        """Return the chosen name. Raises ConfigError for one that the group does not offer."""
        name, group = assignment.value, group_of(assignment.key)
        if isinstance(name, str) and find_option(self.folders, group, name):
            return name
        hint = suggest(str(name), options(self.folders, group), f"{assignment.key}={{}}")
        if str(name).endswith(".py"):
            hint = f"Name what the file defines: {assignment.key}={shown(name)}:NAME"
        raise ConfigError(f"{shown(assignment.text, 300)}: there is no {group} '{shown(name)}'", hint)

    @property
    def names(self) -> dict[str, str]:
        """The name of every group's option."""
        names = {**root_defaults(self.folders[-1]), **self.files}
        return names | {group: name_of(node) for group, node in self.custom.items()}

    def file_of(self, group: str) -> Path | None:
        """Return the file of a group's option; None for a choice without one."""
        return None if group in self.custom else find_option(self.folders, group, self.names[group])

    def file_for(self, folder: str, *groups: str) -> Path | None:
        """Return the file of a folder for the choices of these groups, NAME-NAME.yaml; None without one."""
        names = self.names
        known = all(self.file_of(group) for group in groups)
        return find_option(self.folders, folder, "-".join(names[group] for group in groups)) if known else None

    @functools.cached_property
    def recipe(self) -> list[Assignment]:
        """The values that the recipe of this model, data and optimizer sets."""
        file = self.recipe_file
        tree = flatten(read_yaml(file)) if file else {}
        return [Assignment(key, value, f"recipe {file.name}") for key, value in tree.items()] if file else []

    @property
    def recipe_file(self) -> Path | None:
        """The file conf/recipe/MODEL-DATA-OPTIMIZER.yaml, if it exists."""
        return self.file_for("recipe", "model", "data", "optimizer")

    @property
    def no_workload(self) -> dict[str, str]:
        """The choice that keeps Hydra from composing a workload's file, where model or data have no file themselves."""
        return {"workload": "none"} if {"model", "data"} & self.custom.keys() else {}

    @property
    def workload_file(self) -> Path | None:
        """The file conf/workload/MODEL-DATA.yaml, if it exists."""
        return self.file_for("workload", "model", "data")

    @functools.cached_property
    def layers(self) -> list[tuple[Path, str]]:
        """The YAML files behind this configuration with the prefix of their keys, the strongest last."""
        found = [(group, self.file_of(group)) for group in GROUPS]
        found += list(modifier_files(self.folders).items())
        found = [("model.task", self.task_file), *found]
        files = [(self.folders[-1] / "root" / "run.yaml", "")] + [(file, f"{g}.") for g, file in found if file]
        return files + [(file, "") for file in (self.workload_file, self.recipe_file) if file]

    @property
    def files_read(self) -> list[Path]:
        """The files behind this configuration."""
        seconds = (find_option(self.folders, group_of(k), str(a.value)) for k, a in self.chosen.items() if k in SECOND)
        return [*(file for file, _ in self.layers), *filter(None, seconds)]

    @functools.cached_property
    def target_file(self) -> Path | None:
        """The workload's target file, unless an override or another file sets the target."""
        return None if sets_target(self.values, self.layers) else self.file_for(TARGETS, *WORKLOAD_GROUPS)

    @property
    def shadowed(self) -> list[str]:
        """The user's files that hide packaged ones of the same name."""
        packaged = self.folders[-1]
        read = [file for file, _ in self.layers] + ([self.target_file] if self.target_file else [])
        own = [file for file in read if not file.is_relative_to(packaged)]
        return [str(file) for file in own if (packaged / file.parent.name / file.name).is_file()]
