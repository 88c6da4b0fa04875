"""Escapes in values that stand for characters no shell passes on easily: a line break is typed as backslash and n."""

from __future__ import annotations

import re

from optbench.config.trees import Node

CHARACTERS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "\\": "\\"}


def with_escapes(settings: Node, about: Node) -> Node:
    """Return the settings with the escapes of the keys in `about.escapes` replaced by what they stand for."""
    keys = about.get("escapes", [])
    return {k: unescaped(value) if k in keys and isinstance(value, str) else value for k, value in settings.items()}


def unescaped(text: str) -> str:
    r"""Return the text with \n, \r, \t, \f and \\ replaced by the characters that they stand for."""
    return re.sub(r"\\([nrtf\\])", lambda found: CHARACTERS[found[1]], text)
