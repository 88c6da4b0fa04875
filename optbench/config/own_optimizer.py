"""The configuration of a user's own optimizer: a class given by its import path."""

from __future__ import annotations

import inspect

from optbench.config import imports
from optbench.config.sources import source_sha256
from optbench.config.trees import Node, is_list


def describe(path: str) -> Node:
    """Return the configuration node of an optimizer class: its keyword arguments with their defaults."""
    target = imports.load(path)
    keywords = {key: value for key, value in imports.keyword_defaults(target).items() if key != "**"}
    settings = {key: list(v) if is_list(v) else v for key, v in keywords.items() if is_plain(v)}
    required = {key: "???" for key, value in keywords.items() if value is inspect.Parameter.empty}
    decays = {"no_decay": ["bias", "norm"]} if "weight_decay" in settings or "weight_decay" in required else {}
    about = {
        "algorithm": path.replace(":", ".").rsplit(".", 1)[1],
        "target": path,
        "source_sha256": source_sha256(path) or imports.shipped_sha256(target),
        "needs": ["closure"],
        "valid": {"no_decay": "list str"},
    }
    return {"lr": None, **required, **settings, **decays, "about": about}


def is_plain(value: object) -> bool:
    """Return True for a default that YAML can hold."""
    if is_list(value):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
