"""Overrides, and the files that they choose, become a RunConfig. Every mistake of a user is a ConfigError."""

from __future__ import annotations

import copy
import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from optbench.config import imports
from optbench.config.about import about_of, check_about, check_spelling
from optbench.config.choices import OF_TASK, PREFERRED, Choices
from optbench.config.content import with_content
from optbench.config.derived import derivation, derive
from optbench.config.escapes import with_escapes
from optbench.config.files import composed, find_option, options, packaged_root, read_yaml, short_path
from optbench.config.initial_weights import check_has_weights, init_content
from optbench.config.model_task import own_values, with_task
from optbench.config.modifiers import active
from optbench.config.overrides import Assignment
from optbench.config.own import SCRIPT, TASK, with_roles
from optbench.config.own_optimizer import completed
from optbench.config.references import resolved
from optbench.config.runconfig import GROUPS, SECOND, Choice, RunConfig, TypedIn
from optbench.config.schema import conform, spec_of
from optbench.config.second_player import check_players, first_of, group_of
from optbench.config.sources import file_of, is_own, with_source
from optbench.config.target import off_is_null, with_target
from optbench.config.trees import Node, assign, flatten, is_list, merged, place_in_list, unflatten
from optbench.config.values import shown
from optbench.errors import ConfigError, nearest, suggest


def load(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> RunConfig:
    """Return the run that these overrides describe. Raises ConfigError (exit 2), nothing else, on bad input."""
    return Composition(overrides, config_dir).run_config()


class Composition(Choices):
    """The chosen files with the overrides applied, and the configuration that results."""

    def __init__(self, overrides: Sequence[str], config_dir: str | Path | None = None) -> None:
        super().__init__(overrides, config_dir)
        self.overrides = tuple(overrides)
        self.defaults: Node = {}
        """The values of the files, references unresolved."""
        self.tree = self._resolved_tree()
        """The values with overrides applied, references resolved."""

    # -- values ------------------------------------------------------------------------------------------------------

    def _resolved_tree(self) -> Node:
        config = composed(self.folders, {**self.files, **self.no_workload}) | copy.deepcopy(self.custom)
        if self.is_own_model(config["model"]):
            config["model"] = with_roles(config["model"])
        self._set_task(config["model"])
        config["optimizer"] = completed(config["optimizer"])
        config = merged(self.modifiers, config)  # a workload may have switched one on
        self.defaults = copy.deepcopy(config)
        for group in GROUPS:
            check_about(self.defaults.get(group), self.file_of(group) or group)
        values = [*self.recipe, *self.values]
        for assignment in values:
            if assignment.key.partition(".")[0] not in SECOND:
                self._assign(config, assignment)
        if {a.key for a in self.values} & {"steps", "samples"} == {"steps"}:
            config["samples"] = None  # a workload's budget gives way to the user's
        for second in SECOND:
            self._add_second(config, second, [a for a in values if a.key.partition(".")[0] == second])
        return resolved(config)

    def _set_task(self, model: Node) -> None:
        """Put the chosen task in the place of that of the model's file."""
        choice, task = self.task_choice, self.task
        if choice is None or task is None:
            return
        values = own_values(model) if choice.value == self.own_task else {}
        model |= with_task(model, task, values, str(self.file_of("model") or "model"))
        if TASK in self.chosen:
            model["about"] |= {"chosen_task": str(choice.value), "task_model": task["about"].get("model")}

    def _add_second(self, config: Node, key: str, values: list[Assignment]) -> None:
        """Add the node of a second player's choice if an override chooses it or sets a value of it."""
        chosen = self.chosen.get(key)
        if chosen is None and not values:
            return
        node = self._second_node(chosen) if chosen else config[group_of(key)]
        config[key] = copy.deepcopy(node)
        self.defaults[key] = node
        self.__dict__.pop("known_keys", None)
        for assignment in values:
            self._assign(config, assignment)

    def _second_node(self, chosen: Assignment) -> Node:
        custom = self.custom_node(chosen)
        file = None if custom else find_option(self.folders, group_of(chosen.key), self.checked(chosen))
        return completed(read_yaml(file)) if file else custom or {}

    def _assign(self, config: Node, assignment: Assignment) -> None:
        for key, value in flatten({assignment.key: assignment.value}).items():
            self._check_key(key, assignment)
            try:
                assign(config, key, value)
            except ValueError as error:
                raise ConfigError(f"{shown(assignment.text)}: {error}") from None

    def _check_key(self, key: str, assignment: Assignment) -> None:
        known = self.known_keys
        head, place = place_in_list(key)
        if key in known or (place is not None and is_list(known.get(head))):
            return
        inner = [name for name in known if name.startswith(key + ".")]
        if inner:
            hint = f"Set one of: {', '.join(inner[:8])}"
            raise ConfigError(f"{shown(assignment.text)}: '{key}' is a group of keys", hint)
        group, names = key.split(".")[0], [*GROUPS, *SECOND, *known]
        siblings = [name for name in known if name.startswith(group + ".")] or [n for n in known if "." not in n]
        hint = suggest(key, names if nearest(key, names) else siblings[:12])
        raise ConfigError(f"{shown(assignment.text)}: there is no key '{shown(key)}'", hint)

    @functools.cached_property
    def known_keys(self) -> Node:
        """Every key that may be set, with its default."""
        flat = flatten({k: v for k, v in self.defaults.items() if k != "about"})
        return {key: value for key, value in flat.items() if key.split(".")[1:2] != ["about"]}

    # -- result ------------------------------------------------------------------------------------------------------

    def run_config(self) -> RunConfig:
        """Return the checked, typed configuration."""
        return self._run_config

    @functools.cached_property
    def _run_config(self) -> RunConfig:
        tree = self.tree
        apart = (*GROUPS, *SECOND, *self.modifiers, "about")
        root = self._root({k: v for k, v in tree.items() if k not in apart})
        groups = {
            group: with_content(group, self._choice(group, self.names[group]), root["data_dir"]) for group in GROUPS
        }
        seconds = {key: self._choice(key, self._second_name(key)) for key in SECOND if key in tree}
        self._check_kinds(f"model={groups['model'].name}", groups["model"].about.get("reads"), groups["data"])
        if self.task_choice is not None and self.task is not None:
            self._check_kinds(f"task={self.task_choice.value}", self.task["about"].get("reads"), groups["data"])
        check_players(groups["model"], seconds)
        check_has_weights(root, groups["model"])
        fields: Node = {
            **off_is_null(derive(root, self.values)),
            "init_content": init_content(root["init"]) if root["init"] else None,
            **groups,
            **seconds,
            "modifiers": active([self._choice(name, name) for name in self.modifiers]),
            "overrides": self.overrides,
            "typed_in": self._typed_in({**groups, **seconds}),
            "not_identity": tuple(packaged_root(self.folders[-1])["about"]["not_identity"]),
        }
        config = with_target(RunConfig(**fields), self.target_file)
        for choice in groups.values():
            if "check" in choice.about:
                imports.load(choice.about["check"])(config)
        return config

    def _root(self, node: Node) -> Node:
        """Return the root keys in the types of run.yaml. Raises ConfigError for one that it does not have."""
        packaged = packaged_root(self.folders[-1])
        for key in flatten(node):
            if key not in packaged:
                names = [name for name in packaged if name != "about"]
                raise ConfigError(f"{self.origin(key)}: {shown(key)}: unknown key", suggest(key, names))
        valid = packaged["about"]["valid"]
        return {key: self._conform(key, value, valid.get(key), packaged[key]) for key, value in node.items()}

    def _typed_in(self, choices: Mapping[str, Choice]) -> TypedIn:
        """Return where the overrides were typed, as far as they depend on it."""
        texts = [str(a.value) for a in self.values] + [choice.target for choice in choices.values()]
        paths = [text.rsplit(":", 1)[0] if ".py:" in text else text for text in texts if "\0" not in text]
        relative = any(path and not os.path.isabs(path) and os.path.exists(path) for path in paths)
        relative = relative or any("command_lines" in choice.about for choice in choices.values())
        relative = relative or any(lies_here(choice.target) for choice in choices.values())
        own = str(self.folders[0]) if len(self.folders) > 1 else None
        return TypedIn(own, os.getcwd() if relative else None)

    def _second_name(self, key: str) -> str:
        """Return the name of a second player's choice: its own, or that of the first."""
        group = group_of(key)
        if key not in self.chosen:
            return self.names[group]
        name = str(self.chosen[key].value)
        return name if find_option(self.folders, group, name) else str(self.tree[key]["about"]["algorithm"])

    def _check_kinds(self, reader: str, reads: str | Sequence[str] | None, data: Choice) -> None:
        """Raise ConfigError where a model or a task reads other kinds of data (`about.reads`) than that of the data."""
        kind, kinds = data.about.get("kind"), [reads] if isinstance(reads, str) else list(reads or ())
        if kinds and kind and kind not in kinds:
            files = {name: find_option(self.folders, "data", name) for name in options(self.folders, "data")}
            fitting = [n for n, f in files.items() if f and about_of(read_yaml(f), f).get("kind") in kinds]
            hint = f"Choose data={' or data='.join(fitting)}" if fitting else ""
            raise ConfigError(f"{reader} reads {' or '.join(kinds)}, and data={data.name} is {kind}", hint)

    def _choice(self, group: str, name: str) -> Choice:
        node = dict(self.tree[group])
        about: Node = node.pop("about")
        if group_of(group) == "optimizer":
            check_spelling(about, f"{self.file_of(group) or name}: about" if group in GROUPS else f"{name}: about")
            about = with_infinite(about, self.defaults[group])
        if "implementations" in about:
            valid = {"impl": " | ".join(about["implementations"]), **about.get("valid", {})}
            about = {**about, "valid": valid}
        elif group_of(group) == "optimizer":
            node["impl"] = "user" if node.get("impl") is None else node["impl"]
            about = {**about, "implementations": {"user": about}}
        settings = with_escapes(self._conformed(f"{group}.", node, about), about)
        check_targets(group, settings)
        names, impl = about.get("implementations", {}), settings.get("impl")
        if names and (not isinstance(impl, str) or impl not in names):
            where = f"{self.origin(f'{group}.impl')}: {group}.impl={shown(impl)}"
            raise ConfigError(f"{where}: unknown implementation", suggest(shown(impl), names))
        if group_of(group) == "optimizer":
            about = {"algorithm": name, **about}
        if group == "model" and "task.target" not in flatten(settings):
            hint = "e.g. task: image_classification, or task: {target: ./loss.py:Loss}"
            raise ConfigError(f"{self.file_of(group)}: task.target is missing", hint)
        return with_source(Choice(name=name, settings=settings, about=about))

    def _conformed(self, prefix: str, node: Mapping[str, object], about: Node) -> Node:
        valid: Mapping[str, str] = about.get("valid", {})
        leaves = {
            key: self._conform(prefix + key, value, valid.get(key), self.known_keys.get(prefix + key))
            for key, value in flatten(node).items()
        }
        return unflatten(leaves)

    def _conform(self, key: str, value: object, spec: str | None, default: object) -> object:
        try:
            return conform(value, spec, None if default == "???" else default)  # a required value has no type yet
        except ValueError as error:
            text = next((a.text for a in reversed(self.values) if key.startswith(place_in_list(a.key)[0])), None)
            where = shown(text) if text else f"{self.origin(key)}: {key}={shown(value)}"
            raise ConfigError(f"{where}: {error}") from None

    # -- origins -----------------------------------------------------------------------------------------------------

    def origin(self, key: str) -> str:
        """Return where the value of a dotted key comes from: an override, a file, a signature, or another key."""
        group, _, rest = key.partition(".")
        if group in GROUPS and rest == "name":
            return self._origin_of_choice(group)
        if derivation(self.tree, key):
            return derivation(self.tree, key)
        if key == "target" and self.target_file and self.run_config().target_source:
            return short_path(self.target_file, self.folders)
        for assignment in reversed(self.values):
            if key in (assignment.key, place_in_list(assignment.key)[0]) or key.startswith(assignment.key + "."):
                return f"override {assignment.text}"
        if group in SECOND:
            chosen = self.chosen.get(group)
            return f"override {chosen.text}" if chosen else self.origin(first_of(key))
        for file, prefix in reversed(self.layers):
            if key.startswith(prefix) and self._sets(file, key.removeprefix(prefix), key):
                return short_path(file, self.folders)
        own = self.task if key.startswith("model.task.") else self.custom.get(group)
        if own is None:
            return "derived"
        return own["about"].get("origins", {}).get(rest) or f"signature of {own['about']['target']}"

    def _sets(self, file: Path, rest: str, key: str) -> bool:
        """Return True if a file sets a key, called `rest` in it. A replaced task is set by nothing but its own file."""
        choice = self.task_choice
        if choice is not None and key.startswith("model.task."):
            if file == self.task_file:
                rest = rest if rest != "target" else "about.target"
            elif choice.value != self.own_task or key == "model.task.target":
                return False
        return rest in flatten(read_yaml(file))

    def _origin_of_choice(self, group: str) -> str:
        if group in self.chosen:
            return f"override {self.chosen[group].text}"
        if group in self.custom:
            return f"override {self.chosen[SCRIPT].text}"
        by = PREFERRED.get(group)
        of_task = self.task_file if group in OF_TASK else None
        file = of_task or (self.file_of(by) if by else None) if group in self.files else None
        return short_path(file or self.folders[-1] / "root" / "run.yaml", self.folders)


def lies_here(target: str) -> bool:
    """Return True for a dotted import path that names a module of the working folder."""
    file = None if ".py:" in target else file_of(target)
    return file is not None and is_own(file) and file.is_relative_to(os.getcwd())


def with_infinite(about: Node, defaults: Mapping[str, object]) -> Node:
    """Return the facts with a spec for every setting whose default is infinite: it stays legal."""
    leaves = flatten({key: value for key, value in defaults.items() if key != "about"})
    specs = {key: spec_of(value) for key, value in leaves.items() if isinstance(value, float) and math.isinf(value)}
    return {**about, "valid": {**specs, **about.get("valid", {})}} if specs else about


def check_targets(group: str, settings: Mapping[str, object]) -> None:
    """Raise ConfigError for a `target` among a choice's settings, such as a model's task, that is no import path."""
    for key, value in flatten(settings).items():
        if key.rpartition(".")[2] == "target" and not imports.is_path(str(value)):
            hint = "e.g. ./loss.py:Loss or my_package.Loss"
            raise ConfigError(f"{group}.{key}={shown(value)}: expected an import path", hint)
