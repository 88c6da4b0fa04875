"""Overrides and the files they choose become a RunConfig; everything a user can get wrong is found here."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.config import imports
from optbench.config.custom_optimizer import custom_optimizer, peer_optimizer
from optbench.config.files import compose, config_folders, find_option, options, read_yaml, root_defaults, short_path
from optbench.config.modifiers import active, modifier_files, modifier_nodes, spelled_out
from optbench.config.overrides import Assignment, parse, root_cause
from optbench.config.runconfig import GROUPS, SECOND, Choice, RunConfig
from optbench.config.schema import conform, flatten, unflatten
from optbench.config.second_player import belongs_to, check_players, first_of, group_of
from optbench.config.target import off_is_null, sets_target, target_file, with_target
from optbench.config.values import shown
from optbench.errors import ConfigError, nearest, suggest

PREFERRED = {"model": "data", "data": "model", "schedule": "optimizer"}  # a choice left open goes by another group's


def load(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> RunConfig:
    """The run that these overrides describe. Raises ConfigError (exit 2), never anything else, on bad input."""
    return Composition(overrides, config_dir).run_config()


class Composition:
    """The overrides, the YAML files they choose, and the configuration that results."""

    def __init__(self, overrides: Sequence[str], config_dir: str | Path | None = None) -> None:
        self.overrides = tuple(overrides)
        self.folders = config_folders(config_dir)
        self.modifiers = modifier_nodes(self.folders)
        assignments = [part for a in parse(self.overrides) for part in spelled_out(a, self.modifiers)]
        self.values = [a for a in assignments if a.key not in (*GROUPS, *SECOND)]
        self.chosen = {a.key: a for a in assignments if a.key in (*GROUPS, *SECOND)}
        self.custom = self._custom_optimizer(self.chosen.get("optimizer"))
        self.choices = self._choices(self.chosen)
        self.tree = self._resolved_tree()

    # -- choices -----------------------------------------------------------------------------------------------------

    def _custom_optimizer(self, assignment: Assignment | None) -> dict[str, Any] | None:
        """The node of an optimizer without a YAML file: ./file.py:Name, package.Name, LIBRARY/NAME; else None."""
        if assignment is None or find_option(self.folders, "optimizer", str(assignment.value)):
            return None
        if imports.is_path(str(assignment.value)):
            return custom_optimizer(str(assignment.value))
        return peer_optimizer(str(assignment.value))

    def _choices(self, chosen: Mapping[str, Assignment]) -> dict[str, str]:
        groups = [group for group in GROUPS if group in chosen and not (group == "optimizer" and self.custom)]
        names = {group: self._checked(group, chosen[group]) for group in groups}
        for group, by in PREFERRED.items():
            if group not in names:
                names |= self._preferred(group, by, names.get(by, root_defaults(self.folders)[by]))
        return names

    def _preferred(self, group: str, by: str, name: str) -> dict[str, str]:
        """The choice of a group that the file of another group's choice prefers (`about.GROUP`)."""
        file = find_option(self.folders, by, name)
        preferred = (
            read_yaml(file).get("about", {}).get(group) if file and not (by == "optimizer" and self.custom) else None
        )
        return {group: str(preferred)} if preferred else {}

    def _checked(self, group: str, assignment: Assignment) -> str:
        name = assignment.value
        if isinstance(name, str) and find_option(self.folders, group, name):
            return name
        hint = suggest(str(name), options(self.folders, group), f"{assignment.key}={{}}")
        raise ConfigError(f"{shown(assignment.text)}: there is no {group} '{shown(name)}'", hint)

    # -- values ------------------------------------------------------------------------------------------------------

    def _resolved_tree(self) -> dict[str, Any]:
        from omegaconf import OmegaConf

        config = compose(self.folders, tuple(sorted(self.choices.items())))
        if self.custom is not None:
            config["optimizer"] = self.custom
        config = OmegaConf.merge(self.modifiers, config)  # a workload may have switched one on
        self.defaults = OmegaConf.to_container(config, resolve=False)
        self._check_about()
        values = [*self.recipe, *self.values]
        for assignment in values:
            if assignment.key.partition(".")[0] not in SECOND:
                self._assign(config, assignment)
        if {a.key for a in self.values} & {"steps", "samples"} == {"steps"}:
            config["samples"] = None  # a workload's budget gives way to the user's
        for second in SECOND:
            self._add_second(config, second, [a for a in values if belongs_to(a.key, second)])
        try:
            return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except Exception as error:  # an interpolation of the user's that leads nowhere
            raise ConfigError(root_cause(error)) from error

    @functools.cached_property
    def recipe(self) -> list[Assignment]:
        """What the recipe of this model, data and optimizer sets."""
        file = self.recipe_file
        tree = flatten(read_yaml(file)) if file else {}
        return [Assignment(key, value, f"recipe {file.name}") for key, value in tree.items()] if file else []

    @property
    def recipe_file(self) -> Path | None:
        """conf/recipe/MODEL-DATA-OPTIMIZER.yaml, where there is one."""
        names = self.names
        name = "-".join(names[group] for group in ("model", "data", "optimizer"))
        return None if self.custom else find_option(self.folders, "recipe", name)

    def _add_second(self, config: Any, key: str, values: list[Assignment]) -> None:
        """The node of a second player's choice, where anything is said of it."""
        chosen = self.chosen.get(key)
        if chosen is None and not values:
            return
        config[key] = self._second_node(chosen) if chosen else config[group_of(key)]
        self.defaults[key] = self._plain(config[key])
        self.__dict__.pop("known_keys", None)
        for assignment in values:
            self._assign(config, assignment)

    def _second_node(self, chosen: Assignment) -> dict[str, Any]:
        group = group_of(chosen.key)
        own = self._custom_optimizer(chosen)
        return own or read_yaml(find_option(self.folders, group, self._checked(group, chosen)))  # type: ignore[arg-type]

    @staticmethod
    def _plain(node: Any) -> Any:
        from omegaconf import OmegaConf

        return OmegaConf.to_container(node, resolve=False)

    def _assign(self, config: Any, assignment: Assignment) -> None:
        from omegaconf import OmegaConf

        for key, value in flatten({assignment.key: assignment.value}).items():
            self._check_key(key, assignment)
            try:
                OmegaConf.update(config, key, value, merge=False)
            except Exception as error:
                raise ConfigError(f"{shown(assignment.text)}: {root_cause(error)}") from error

    def _check_key(self, key: str, assignment: Assignment) -> None:
        known = self.known_keys
        if key in known:
            return
        if any(name.startswith(key + ".") for name in known):
            inner = [name for name in known if name.startswith(key + ".")]
            raise ConfigError(
                f"{shown(assignment.text)}: '{key}' is a group of keys", f"Set one of: {', '.join(inner[:8])}"
            )
        group = key.split(".")[0]
        names = [*GROUPS, *SECOND, *known]
        siblings = [name for name in known if name.startswith(group + ".")] or [n for n in known if "." not in n]
        hint = suggest(key, names if nearest(key, names) else siblings[:12])
        raise ConfigError(f"{shown(assignment.text)}: there is no key '{shown(key)}'", hint)

    @functools.cached_property
    def known_keys(self) -> dict[str, Any]:
        """Every key that may be set, with its default."""
        flat = flatten({k: v for k, v in self.defaults.items() if k != "about"})
        return {key: value for key, value in flat.items() if key.split(".")[1:2] != ["about"]}

    def _check_about(self) -> None:
        for group in GROUPS:
            file = find_option(self.folders, group, self.names[group])
            node = self.defaults.get(group)
            about = node.get("about") if isinstance(node, dict) else None
            if not isinstance(about, dict):
                raise ConfigError(f"{file}: must hold keys and values, and the facts under 'about'")
            if "target" not in about and not about.get("implementations"):
                raise ConfigError(
                    f"{file}: about.target is missing", "It names what builds it, e.g. my_package.MyOptimizer"
                )
            impl = {"target": about} if "target" in about else about["implementations"]
            if not isinstance(impl, Mapping) or not all(
                isinstance(i, Mapping) and "target" in i for i in impl.values()
            ):
                raise ConfigError(f"{file}: about.implementations must map each name to its target")

    @property
    def names(self) -> dict[str, str]:
        """The chosen name of every group."""
        names = {**root_defaults(self.folders), **self.choices}
        return names | ({"optimizer": self.custom["about"]["algorithm"]} if self.custom else {})

    def second_name(self, key: str) -> str:
        """The name of a second player's choice: its own, or that of the first."""
        group = group_of(key)
        if key not in self.chosen:
            return self.names[group]
        name = str(self.chosen[key].value)
        return name if find_option(self.folders, group, name) else str(self.tree[key]["about"]["algorithm"])

    # -- result ------------------------------------------------------------------------------------------------------

    def run_config(self) -> RunConfig:
        """The checked, typed configuration."""
        tree = self.tree
        apart = (*GROUPS, *SECOND, *self.modifiers, "about")
        root = self._conformed("", {k: v for k, v in tree.items() if k not in apart}, tree["about"])
        groups: dict[str, Any] = {group: self._choice(group, self.names[group], dict(tree[group])) for group in GROUPS}
        groups["modifiers"] = active([self._choice(name, name, dict(tree[name])) for name in self.modifiers])
        groups |= {key: self._choice(key, self.second_name(key), dict(tree[key])) for key in SECOND if key in tree}
        self._check_kinds(groups)
        check_players(groups["model"], {key: groups.get(key) for key in SECOND})
        root = off_is_null(derive(root, self.values))
        fixed = {"overrides": self.overrides, "not_identity": tuple(tree["about"]["not_identity"])}
        return with_target(RunConfig(**groups, **root, **fixed), self.target_file)

    def _check_kinds(self, groups: Mapping[str, Any]) -> None:
        """A model reads one kind of data (`about.reads`), a data set is of one kind (`about.kind`)."""
        model, data = groups["model"], groups["data"]
        reads, kind = model.about.get("reads"), data.about.get("kind")
        if reads and kind and reads != kind:
            files = {name: find_option(self.folders, "data", name) for name in options(self.folders, "data")}
            fitting = [n for n, file in files.items() if file and read_yaml(file).get("about", {}).get("kind") == reads]
            raise ConfigError(
                f"model={model.name} reads {reads}, and data={data.name} is {kind}",
                f"Take data={' or data='.join(fitting)}" if fitting else "",
            )

    def _choice(self, group: str, name: str, node: dict[str, Any]) -> Choice:
        about = node.pop("about")
        if "implementations" in about:
            valid = {"impl": " | ".join(about["implementations"]), **about.get("valid", {})}
            about = {**about, "valid": valid}
        elif group_of(group) == "optimizer":
            node.setdefault("impl", "user")
            about = {**about, "implementations": {"user": {**about, "target": about["target"]}}}
        return Choice(name=name, settings=self._conformed(f"{group}.", node, about), about=about)

    def _conformed(self, prefix: str, node: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        valid = about.get("valid", {})
        leaves = {key: self._conform(prefix + key, value, valid.get(key)) for key, value in flatten(node).items()}
        return unflatten(leaves)

    def _conform(self, key: str, value: Any, spec: str | None) -> Any:
        try:
            default = self.known_keys.get(key)
            return conform(value, spec, None if default == "???" else default)  # a required value has no type yet
        except ValueError as error:
            text = next((a.text for a in reversed(self.values) if key.startswith(a.key)), None)
            where = shown(text) if text else f"{self.origin(key)}: {key}={shown(str(value))}"
            raise ConfigError(f"{where}: {error}") from None

    # -- origins -----------------------------------------------------------------------------------------------------

    def origin(self, key: str) -> str:
        """Where the value of a dotted key comes from: an override, a file, a signature, or another key."""
        group, _, rest = key.partition(".")
        if group in GROUPS and rest == "name":
            return self._origin_of_choice(group)
        if derivation(self.tree, key):
            return derivation(self.tree, key)
        if key == "target" and self.target_file and self.run_config().target_source:
            return short_path(self.target_file, self.folders)
        for assignment in reversed(self.values):
            if key == assignment.key or key.startswith(assignment.key + "."):
                return f"override {assignment.text}"
        if group in SECOND:
            chosen = self.chosen.get(group)
            return f"override {chosen.text}" if chosen else self.origin(first_of(key))
        for file, prefix in reversed(self.layers):
            if key.startswith(prefix) and key.removeprefix(prefix) in flatten(read_yaml(file)):
                return short_path(file, self.folders)
        return f"signature of {self.custom['about']['target']}" if self.custom and rest in self.custom else "derived"

    def _origin_of_choice(self, group: str) -> str:
        if group in self.chosen:
            return f"override {self.chosen[group].text}"
        by = PREFERRED.get(group)
        file = find_option(self.folders, by, self.names[by]) if by and group in self.choices else None
        if file:
            return short_path(file, self.folders)
        return short_path(self.folders[-1] / "root" / "run.yaml", self.folders)

    @functools.cached_property
    def layers(self) -> list[tuple[Path, str]]:
        """The YAML files behind this configuration with the prefix of their keys, the strongest last."""
        names = self.names
        found = [(group, find_option(self.folders, group, names[group])) for group in GROUPS]
        workload = find_option(self.folders, "workload", f"{names['model']}-{names['data']}")
        found += list(modifier_files(self.folders).items())
        files = [(self.folders[-1] / "root" / "run.yaml", "")] + [(file, f"{g}.") for g, file in found if file]
        return files + [(file, "") for file in (workload, self.recipe_file) if file]

    @functools.cached_property
    def target_file(self) -> Path | None:
        """The workload's file of its target, unless something else says what the target is."""
        return None if sets_target(self.values, self.layers) else target_file(self.folders, self.names)

    @property
    def shadowed(self) -> list[str]:
        """Files of the user's that stand before packaged ones of the same name."""
        packaged = self.folders[-1]
        read = [file for file, _ in self.layers] + ([self.target_file] if self.target_file else [])
        chosen = [file for file in read if not file.is_relative_to(packaged)]
        return [str(file) for file in chosen if (packaged / file.parent.name / file.name).is_file()]


def derivation(tree: Mapping[str, Any], key: str) -> str:
    """How `derive` came to the value of a root key, or "" where it left it alone."""
    if key == "steps" and tree["samples"] is not None:
        return "derived: samples / batch_size"
    if key == "eval_every" and tree["eval_every"] is None:
        return "derived: steps / 10"
    return ""


def derive(root: dict[str, Any], values: Sequence[Assignment]) -> dict[str, Any]:
    """Root keys with the budget in steps and the evaluation interval filled in."""
    root = dict(root)
    samples = root.pop("samples")
    given = {a.key for a in values}
    if samples is not None and "steps" in given:
        raise ConfigError("steps and samples are both given", "Give the budget once: steps=N or samples=N")
    if samples is not None:
        root["steps"] = math.ceil(samples / root["batch_size"])
    root["eval_every"] = root["eval_every"] or max(1, math.ceil(root["steps"] / 10))
    micro = root["micro_batch"]
    if isinstance(micro, int) and micro > root["batch_size"]:
        raise ConfigError(f"micro_batch={micro} is larger than batch_size={root['batch_size']}")
    root["micro_batch"] = None if micro == root["batch_size"] else micro
    if (root["scale_lr"] or root["scale_warmup"]) and root["scale_from"] is None:
        raise ConfigError("scale_from is missing", "Give the batch size that the learning rate is for: scale_from=256")
    return root
