"""The configuration of a user's own optimizer: a class or function given by its import path.

It may carry facts itself, as a YAML file does: `search = {"lr": "log [1e-5, 1e-2]"}` and
`about = {"needs": ["closure"], "evaluations": 2, "valid": {"lr": "[0, inf)"}}`."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from typing import Any

from optbench.config import imports
from optbench.config.about import OPTIMIZER_FACTS, check_facts, check_known
from optbench.config.boxes import WHEN
from optbench.config.dimensions import dimension_of_spec
from optbench.config.sources import source_sha256
from optbench.config.trees import Node, flatten, is_list, is_mapping, leaf, merged
from optbench.config.values import shown
from optbench.errors import ConfigError, suggest

TAKEN = ("impl", "name", "about")
"""Words of optbench's own among the keys of an optimizer."""
NO_DECAY = "no_decay"
OWN_DECAY = ("problem", "model", "named_parameters")
"""Forms of what to optimize (`about.takes`) with which an optimizer chooses itself what decays."""
TAKEN_BY_NAME = ("named_parameters", "model")
"""Names of a first argument that say what it takes."""
REST = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
"""The settings of AdamW, which trains the rest where an optimizer takes matrices alone."""
NOT_OF_CLASS = ("name", "target", "implementations")


def describe(path: str) -> Node:
    """Return the configuration node of an optimizer: its keyword arguments with their defaults, and its facts.

    Raises ConfigError for a wrong fact, or an argument that bears one of optbench's own words."""
    target = imports.load(path)
    keywords = {key: value for key, value in imports.keyword_defaults(target).items() if key != "**"}
    facts = facts_of(target, path)
    refuse_taken(keywords, facts, path)
    required = {key: "???" for key, value in keywords.items() if value is inspect.Parameter.empty}
    named = {key: name for key, value in keywords.items() if (name := class_path(value))}
    settings = {key: list(v) if is_list(v) else v for key, v in keywords.items() if is_plain(v)}
    decays = "weight_decay" in {**settings, **required} and facts.get("takes") not in OWN_DECAY
    no_decay = {NO_DECAY: ["bias", "norm"]} if decays else {}
    node: Node = {"lr": None, **required, **settings, **named, **no_decay}
    about: Node = {
        "algorithm": class_name(path),
        "source_sha256": source_sha256(path) or imports.shipped_sha256(target),
        "needs": ["closure"],
        **facts,
        "target": path,
        "name": class_name(path),
        "classes": [*required, *named],
        "valid": {NO_DECAY: "list str", **dict.fromkeys(named, "str"), **facts.get("valid", {})},
    }
    node = with_group_settings({**node, "about": about})
    check_keys(about, {key: value for key, value in node.items() if key != "about"}, path)
    return node


def completed(node: Node) -> Node:
    """Return the node of a file with what it leaves to its target: every setting if it states facts alone, and the
    settings of groups."""
    about = node.get("about")
    if is_mapping(about) and set(node) == {"about"} and imports.is_path(str(about.get("target"))):
        node = merged(describe(about["target"]), node)
    return with_group_settings(node)


def with_group_settings(node: Node) -> Node:
    """Return the node with the settings of groups (`about.groups`, or the rest beside matrices) as settings of its own:
    optimizer.matrices.rank, optimizer.rest.lr."""
    about = node.get("about")
    if not is_mapping(about):
        return node
    groups = about.get("groups")
    kinds = dict(groups) if is_mapping(groups) else {}
    if about.get("takes") == "matrices":
        kinds = {"rest": REST, **kinds}
    return {**{kind: dict(settings) for kind, settings in kinds.items() if is_mapping(settings) and settings}, **node}


def class_name(path: str) -> str:
    """Return the last part of an import path: MyOpt of ./mine.py:MyOpt."""
    return path.replace(":", ".").rsplit(".", 1)[1]


def facts_of(target: Any, path: str) -> Node:
    """Return the facts that a class or function carries: its attributes `about` and `search`.

    Raises ConfigError for one of the wrong form, and for an unknown one."""
    about, search = (getattr(target, name, None) for name in ("about", "search"))
    found: Node = {}
    for name, value in (("about", about), ("search", search)):
        if value is None or callable(value) or isinstance(value, property):
            continue
        if not is_mapping(value):
            raise ConfigError(f"{path}: {name}={shown(value)}: expected a mapping, e.g. {EXAMPLES[name]}")
        found |= value if name == "about" else {"search": {**found.get("search", {}), **value}}
    first = imports.to_optimize(target)
    if first is not None and first.name in TAKEN_BY_NAME:
        found = {"takes": first.name, **found}
    if all(callable(getattr(target, method, None)) for method in ("train", "eval")):  # a schedule-free optimizer
        found = {"schedule": "constant", **found}
    found = {str(key): list(value) if is_list(value) else value for key, value in found.items()}
    check_known(found, f"{path}: about", [name for name in OPTIMIZER_FACTS if name not in NOT_OF_CLASS])
    check_facts(found, f"{path}: about")
    return found


EXAMPLES: Mapping[str, str] = {"search": '{"lr": "log [1e-5, 1e-2]"}', "about": '{"needs": ["closure"]}'}


def refuse_taken(keywords: Mapping[str, object], facts: Node, path: str) -> None:
    """Raise ConfigError for an argument whose word has a meaning of its own in optbench."""
    taken = (*TAKEN, *(() if facts.get("takes") in OWN_DECAY else (NO_DECAY,)), *(facts.get("groups") or ()))
    for key in keywords:
        if key in taken:
            raise ConfigError(
                f"{path}: the argument '{key}' cannot be a setting: optimizer.{key} has another meaning",
                f"Rename it, or name a function that sets it: def {class_name(path)}_(params, lr): ...",
            )


def declared(facts: Mapping[str, Any], implementation: Mapping[str, Any]) -> str:
    """Return where to state facts: in a class of the user's file; of an installed class in a YAML file, as typed."""
    target = str(implementation.get("target", ""))
    if not target or ".py:" in target:
        return f"about = {json.dumps(facts)} in the class".replace("true", "True").replace("false", "False")
    return file_text(target, facts)


def file_text(target: str, facts: Mapping[str, Any]) -> str:
    """Return what to write and to type for the facts of a class that cannot be edited."""
    text = json.dumps({"target": target, **facts}).replace('"', "")
    return f"about: {text} in conf/optimizer/mine.yaml, then optimizer=mine --config-dir conf"


def check_keys(about: Node, node: Node, path: str) -> None:
    """Raise ConfigError where `search`, `valid` or `evaluations` name a setting that the optimizer does not have."""
    known = flatten(node)
    every = about.get("evaluations")
    boxes = {"search": about.get("search", {}), **{f"presets.{name}": box for name, box in presets_of(about).items()}}
    named = {**boxes, "valid": {k: "" for k in about["valid"] if k != NO_DECAY}}
    named["evaluations.every"] = {every["every"]: ""} if is_mapping(every) else {}
    for fact, keys in named.items():
        for key in keys:
            if key not in known and not (fact in boxes and has_element(known, key)):
                raise ConfigError(f"{path}: {fact}: there is no setting '{shown(key)}'", suggest(str(key), known))
    for fact, box in boxes.items():
        for key, spec in box.items():
            try:
                dimension_of_spec(f"{fact}.{key}", spec)
            except ConfigError as error:
                raise ConfigError(f"{path}: {error.message}", error.hint) from None


def presets_of(about: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the boxes of `about.presets` without the settings that they are `when` for."""
    return {
        name: {key: spec for key, spec in box.items() if key != WHEN} for name, box in about.get("presets", {}).items()
    }


def has_element(leaves: Mapping[str, object], key: str) -> bool:
    """Return True for a key of one element of a list: betas.1."""
    try:
        return leaf(leaves, key) is not None
    except KeyError:
        return False


def class_path(value: object) -> str | None:
    """Return the import path of a default that is an installed class; None for anything else."""
    if not isinstance(value, type) or value is inspect.Parameter.empty:
        return None
    path = f"{value.__module__}.{value.__qualname__}"
    return path if imports.is_path(path) and not value.__module__.startswith(imports.USER_MODULE) else None


def is_plain(value: object) -> bool:
    """Return True for a default that YAML can hold."""
    if is_list(value):
        return all(map(is_plain, value))
    if isinstance(value, float) and math.isnan(value):
        return False
    return value is None or type(value) in (bool, int, float, str)
