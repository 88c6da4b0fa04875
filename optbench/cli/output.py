"""What a command says: notices on stderr, its answer on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

answered: list[bool] = []  # whether this command has printed its JSON: one document is all that stdout gets


def speaks() -> bool:
    """Whether this process speaks to people: of several that torchrun started, the first."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


def notice(text: str) -> None:
    """A line for people, on stderr."""
    if speaks():
        print(text, file=sys.stderr, flush=True)


def emit(as_json: bool, tree: Mapping[str, Any] | Sequence[Any], human: Callable[[], None]) -> None:
    """Answer on stdout: JSON for machines or `human()` for people."""
    if as_json:
        answered.append(True)
        print(json.dumps(tree, indent=2, default=str))
    else:
        human()
