"""HTML elements. What is not Markup is text and is escaped, so that no name can become a tag."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

VOID = frozenset({"img", "input", "meta"})
# What HTML may not contain, half characters that UTF-8 cannot write, and marks that turn the direction of what follows
UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element. `class_` is class, `aria_label` aria-label; attributes and children of None are left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{shown}>" if name in VOID else f"<{name}{shown}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Return parts one after the other; None is left out."""
    return escape(between).join(escape(part) for part in parts if part is not None)


def items(texts: Iterable[object]) -> Markup:
    """Return a list of sentences."""
    return tag("ul", *(tag("li", text) for text in texts))


def folded(summary: object, *children: object, **attributes: object) -> Markup:
    """Return what opens on a click."""
    return tag("details", tag("summary", summary), *children, **attributes)


def printable(text: str) -> str:
    """Return text without characters that cannot be shown."""
    return UNSHOWN.sub("\ufffd", text)
