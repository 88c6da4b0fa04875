"""Events as lines of JSON, since whoever may write to a shared results folder may write them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_type_hints

from optbench import errors
from optbench.files import parse_json
from optbench.sweeps.executors import base
from optbench.sweeps.executors.base import Event

KINDS = (
    *(base.WorkerStarted, base.RunNotice, base.RunStarted, base.RunProgress, base.RunEvaluated, base.WorkerDied),
    *base.LAST_EVENTS,
)
BY_NAME: dict[str, type[Event]] = {kind.__name__: kind for kind in KINDS}


def to_line(event: Event) -> bytes:
    """Return an event as a line: its kind, and its fields."""
    fields = {
        name: errors.to_plain(value) if isinstance(value, errors.OptbenchError) else value
        for name, value in vars(event).items()
    }
    return json.dumps({"kind": type(event).__name__, **fields}).encode() + b"\n"


def from_line(line: bytes) -> Event:
    """Return the event of a line. Raises ValueError for anything but a known kind with fields of the right types."""
    parsed = parse_json(line)
    tree: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    name = tree.get("kind")
    kind = BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError("not an event")
    types, values = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        value = tree.get(field.name, field.default)
        value = errors.from_plain(value) if types[field.name] is errors.OptbenchError else value
        if not fits(value, types[field.name]):
            raise ValueError(f"{kind.__name__}: wrong {field.name}")
        values[field.name] = value
    return kind(**values)


def fits(value: object, expected: type) -> bool:
    """Return True for a value of the expected type; whole numbers count something, and may stand for any number."""
    if isinstance(value, int):
        return (
            not isinstance(value, bool)
            and 0 <= value < 2**63
            and (isinstance(0, expected) or isinstance(0.0, expected))
        )
    return isinstance(value, expected)
