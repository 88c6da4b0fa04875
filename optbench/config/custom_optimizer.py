"""The configuration of an optimizer without a YAML file: a user's own, or one of another library by its name there."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

from optbench.config import imports


def custom_optimizer(path: str) -> dict[str, Any]:
    """The configuration node of a user's own optimizer: its keyword arguments with their defaults."""
    target = imports.load(path)
    keywords = imports.keyword_defaults(target)
    plain = {k: v for k, v in keywords.items() if k != "**" and is_plain(v)}
    required = {k: "???" for k, v in keywords.items() if v is inspect.Parameter.empty and k != "**"}
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}
    name = path.replace(":", ".").rsplit(".", 1)[1]
    decays = {"no_decay": ["bias", "norm"]} if "weight_decay" in settings or "weight_decay" in required else {}
    about = {
        "algorithm": name,
        "target": path,
        "source_sha256": imports.source_sha256(target),
        "needs": ["closure"],
        "valid": {"no_decay": "list str"},
    }
    return {"lr": None, **required, **settings, **decays, "about": about}


def peer_optimizer(name: str) -> dict[str, Any] | None:
    """The configuration node of `LIBRARY/NAME`, as the library's file under `optbench.peers` describes it; None where
    there is no such file or it describes nothing. The library is imported here, not earlier."""
    library, _, inner = name.partition("/")
    path = f"optbench.peers.{library}"
    if not library.isidentifier() or not inner or importlib.util.find_spec(path) is None:
        return None
    describe = getattr(imports.dotted_module(path, path), "describe", None)
    return describe(inner) if describe else None


def is_plain(value: Any) -> bool:
    """Whether a default can be written in YAML."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))
