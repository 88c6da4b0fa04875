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


def place_in_list(key: str) -> tuple[str, int | None]:
    """Return the key of a list and the place in it that `betas.1` names; any other key as it is, with None."""
    head, _, last = key.rpartition(".")
    return (head, int(last)) if head and last.isascii() and last.isdigit() else (key, None)


def short_key(key: str) -> str:
    """Return a dotted key without its group: lr of optimizer.lr, betas.1 of optimizer.betas.1."""
    return key.partition(".")[2] or key


def leaf(leaves: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key among leaves, or of one element of a list: betas.1. Raises KeyError."""
    if key in leaves:
        return leaves[key]
    head, place = place_in_list(key)
    if place is None or not is_list(leaves[head]) or place >= len(leaves[head]):
        raise KeyError(key)
    return leaves[head][place]


def with_element(values: object, place: int, value: object) -> list[object]:
    """Return a list with another value in one place, counted from 0. Raises ValueError for a place that it lacks."""
    if not is_list(values):
        raise ValueError("not a list")
    if place >= len(values):
        raise ValueError(f"the list has {len(values)} elements: 0 to {len(values) - 1}")
    return [*values[:place], value, *values[place + 1 :]]


def assign(tree: Node, key: str, value: object) -> None:
    """Set the value of a dotted key, or of one element of a list: betas.1. Raises ValueError for a place that the list
    lacks."""
    *path, last = key.split(".")
    for depth, part in enumerate(path):
        if depth == len(path) - 1 and is_list(tree.get(part)) and last.isdigit():
            tree[part] = with_element(tree[part], int(last), value)
            return
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
