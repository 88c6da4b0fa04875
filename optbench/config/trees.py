"""Nested mappings as YAML and JSON hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

Node: TypeAlias = dict[str, Any]
"""A mapping of a configuration file. `about.valid`, not its type, says what each value may be."""

PLAIN = (str, int, float)


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return True for a mapping; its values are of any type. The other checks are only faster, for plain values."""
    return isinstance(value, dict) or (not (value is None or isinstance(value, PLAIN)) and isinstance(value, Mapping))


def is_list(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Return True for a list or tuple."""
    return isinstance(value, (list, tuple))


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Node:
    """Return the leaves by dotted key; an empty mapping is a leaf."""
    leaves: Node = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if is_mapping(value) and value:
            leaves.update(flatten(value, f"{name}."))
        else:
            leaves[name] = value
    return leaves


def unflatten(leaves: Mapping[str, object]) -> Node:
    """Return the nested mapping of dotted keys."""
    tree: Node = {}
    for key, value in leaves.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


def assign(tree: Node, key: str, value: object) -> None:
    """Set the value of a dotted key."""
    *path, last = key.split(".")
    for part in path:
        tree = tree[part] if is_mapping(tree.get(part)) else tree.setdefault(part, {})
    tree[last] = value


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> Node:
    """Return a mapping with the values of `over`, and those of `base` that it doesn't have."""
    tree = dict(base)
    for key, value in over.items():
        below = tree.get(key)
        tree[key] = merged(below, value) if is_mapping(below) and is_mapping(value) else value
    return tree


def without_null(tree: Mapping[str, object]) -> Node:
    """Return the mapping without null leaves and the mappings that they leave empty."""
    kept = {key: without_null(value) if is_mapping(value) else value for key, value in tree.items()}
    return {key: value for key, value in kept.items() if value is not None and value != {}}
