"""Completion of key=value words. It runs at every press of tab: PyYAML reads the configuration files, not Hydra."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError

MODIFIER, TASK = "modifier", "task"
ROOT = ("root", "run")


@functools.cache
def read(file: Path | None) -> Mapping[str, Any]:
    """Return the mapping of a YAML file, with an `about`; empty for one that does not parse."""
    from optbench.config.yaml_reader import load_yaml

    try:
        tree = load_yaml(file) if file else {}
    except ConfigError:
        tree = {}
    return {"about": {}, **tree} if isinstance(tree, dict) else {"about": {}}


class Completion:
    """The candidates for a word, given the other words of the command line."""

    def __init__(self, words: Sequence[str]) -> None:
        from optbench.config import GROUPS, config_folders, options
        from optbench.config.runconfig import SECOND

        self.folders = config_folders(None)
        self.chosen: dict[str, str] = dict(word.split("=", 1) for word in words if "=" in word)
        self.defaults: dict[str, str] = {k: v for one in self.file(*ROOT)["defaults"][1:] for k, v in one.items()}
        self.modifiers = options(self.folders, MODIFIER)
        players = self.tree("model")["about"].get("players", {}).values()
        self.second = {key: group for key, group in SECOND.items() if key in players}
        self.groups = (*GROUPS, TASK, *self.second, *self.modifiers)

    def candidates(self, word: str) -> list[str]:
        """Return the whole words that may stand where `word` is being typed."""
        key, equals, value = word.partition("=")
        group, dot, _ = key.partition(".")
        if equals:
            listed, comma, _ = value.rpartition(",")  # a sweep's list: its last value is being typed
            return [f"{key}={listed}{comma}{v}" for v in self.values(key) if v not in listed.split(",")]
        if not dot:
            return [f"{name}=" for name in (*self.groups, *self.settings(""))]
        return [f"{group}.{name}=" for name in self.settings(group)] if group in self.groups else []

    def values(self, key: str) -> Sequence[str]:
        """Return the possible values of a key where they are words: names of a group, literals of `about.valid`."""
        from optbench.config import options
        from optbench.config.schema import literals

        if key in self.modifiers:
            return (*self.tree(key)["about"].get("words", ()), "true", "false")
        if key in self.groups:
            return options(self.folders, self.second.get(key, key))
        group, name = key.split(".", 1) if "." in key else ("", key)
        about = self.tree(group)["about"]
        if name == "impl":
            return tuple(about.get("implementations", ()))
        return literals(about.get("valid", {}).get(name), self.settings(group).get(name))

    def settings(self, group: str) -> dict[str, Any]:
        """Return the dotted keys of a group's choice, or of run.yaml (""), with their values."""
        from optbench.config import flatten

        return flatten({k: v for k, v in self.tree(group).items() if k not in ("about", "defaults")})

    def default(self, key: str) -> str:
        """Return the value of a key in its file, as typed on the command line."""
        from optbench.config import as_typed

        group, name = key.split(".", 1) if "." in key else ("", key)
        return as_typed(self.settings(group).get(name, ""))

    def tree(self, group: str) -> Mapping[str, Any]:
        """Return the file of a group's choice, of a modifier, or run.yaml ("")."""
        if not group:
            return self.file(*ROOT)
        if group in self.modifiers:
            return self.file(MODIFIER, group)
        if group == TASK:
            return self.task()
        found = self.file(*self.choice(group))
        return self.with_task(found) if group == "model" else found

    def task(self) -> Mapping[str, Any]:
        """Return the settings of the model's task, and their `about.valid`."""
        model, prefix = self.tree("model"), f"{TASK}."
        valid = {k.removeprefix(prefix): v for k, v in model["about"].get("valid", {}).items() if k.startswith(prefix)}
        return {**model.get(TASK, {}), "about": {"valid": valid}}

    def with_task(self, model: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a model's file with its task."""
        from optbench.config.model_task import own_values, with_task

        name, own = self.task_name(model)
        task = self.file(TASK, name)
        if "target" not in task["about"]:
            return model
        try:
            return with_task(model, task, own_values(model) if name == own else {}, "")
        except ConfigError:
            return model

    def task_name(self, model: Mapping[str, Any]) -> tuple[str, str]:
        """Return a model's task (the chosen one, that of the data, or the one that its file names), and the last."""
        from optbench.config.choices import DEFAULT_TASK
        from optbench.config.model_task import named_task

        own = str(named_task(model) if TASK in model else DEFAULT_TASK)
        return str(self.chosen.get(TASK) or self.tree("data")["about"].get(TASK) or own), own

    def choice(self, group: str) -> tuple[str, str]:
        """Return a group's folder and the name in it: the chosen one, else the one that applies without a choice."""
        from optbench.config.choices import OF_TASK, PREFERRED
        from optbench.config.runconfig import SECOND

        folder = SECOND.get(group, group)
        name = self.chosen.get(group, self.chosen.get(folder))
        if name is None and folder in PREFERRED:
            by = PREFERRED[folder]
            name = self.file(by, self.chosen.get(by, self.defaults[by]))["about"].get(folder)
        if name is None and folder in OF_TASK:
            task, _ = self.task_name(self.file(*self.choice("model")))
            name = self.file(TASK, task)["about"].get(folder)
        return folder, str(name or self.defaults.get(folder, ""))

    def file(self, folder: str, name: str) -> Mapping[str, Any]:
        """Return a file of the configuration folders, the user's first."""
        from optbench.config import find_option

        return read(find_option(self.folders, folder, name))


def complete_override(args: list[str], incomplete: str) -> list[str]:
    """Complete key=value for Typer. zsh and fish pass the whole word; bash splits it at `=` and wants the value."""
    words, word, value_only = shell_words(args, incomplete)
    try:
        completion = Completion(words)
    except ConfigError:  # OPTBENCH_CONFIG_DIR is no folder
        return []
    found = [candidate for candidate in completion.candidates(word) if candidate.startswith(word)]
    if len(found) == 1 and found[0].endswith("="):  # the shell would add a space behind a lone candidate's `=`
        found += completion.candidates(found[0]) or [found[0] + completion.default(found[0][:-1])]
    return [candidate.split("=", 1)[1] for candidate in found] if value_only else found


def complete_slug(args: list[str], incomplete: str) -> list[str]:
    """Complete the name of a claim under experiments/, which lies beside conf/."""
    from optbench.config import packaged_folder

    found = sorted(file.parent.name for file in (packaged_folder().parent / "experiments").glob("*/study.yaml"))
    return [name for name in found if name.startswith(incomplete)]


def shell_words(args: Sequence[str], incomplete: str) -> tuple[list[str], str, bool]:
    """Return the words before the cursor, the word at the cursor, and True if the shell wants only its value.

    bash splits key=value into three words; they are joined here."""
    line = os.environ.get("COMP_WORDS", "")
    pieces = line.split("\n") if "\n" in line else line.split()
    try:
        index = int(os.environ.get("COMP_CWORD", ""))
    except ValueError:  # zsh and fish give no index
        return [*args, *pieces], incomplete, False
    words = re.sub(r"\s*=\s*", "=", " ".join(pieces[:index])).split(" ")
    current = pieces[index] if index < len(pieces) else ""
    before = pieces[index - 1] if 0 < index <= len(pieces) else ""
    if current == "=":
        return words, f"{before}=", True
    if before == "=" and index >= 2:
        return words, f"{pieces[index - 2]}={current}", True
    return words, current, False
