"""The configuration of an optimizer without a YAML file: a user's own, or another library's by its name there."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable

from optbench.config import imports
from optbench.config.sources import source_sha256
from optbench.config.trees import Node, is_list


def custom_optimizer(path: str) -> Node:
    """Return the configuration node of a user's own optimizer: its keyword arguments with their defaults."""
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


def peer_optimizer(name: str) -> Node | None:
    """Return the configuration node of `LIBRARY/NAME`, described by optbench.peers.LIBRARY; None without one.

    The library is imported here, not earlier."""
    library, _, inner = name.partition("/")
    path = f"optbench.peers.{library}"
    if not library.isidentifier() or not inner or importlib.util.find_spec(path) is None:
        return None
    describe: Callable[[str], Node | None] | None = getattr(imports.dotted_module(path, path), "describe", None)
    return describe(inner) if describe else None


def is_plain(value: object) -> bool:
    """Return True for a default that YAML can hold."""
    if is_list(value):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
