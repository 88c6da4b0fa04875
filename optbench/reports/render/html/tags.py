"""HTML from nested calls. What is not Markup is text and is escaped: a name cannot become a tag by being forgotten."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

VOID = frozenset({"img", "input", "meta", "line", "circle"})
# What HTML may not contain, half characters that UTF-8 cannot write, and marks that turn the direction of what follows
UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
LABEL_LENGTH = 32
DASH, MINUS, TIMES = "\u2013", "\u2212", "\u00d7"


class Markup(str):
    """HTML that is escaped already."""

    __slots__ = ()


def printable(value: object) -> str:
    """Any value as text without characters that cannot be shown."""
    return UNSHOWN.sub("\ufffd", str(value))


def escape(value: object) -> Markup:
    """Text as HTML, for content and for quoted attributes."""
    return value if isinstance(value, Markup) else Markup(html.escape(printable(value), quote=True))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts one after the other; None is left out."""
    return Markup(escape(between).join(escape(part) for part in parts if part is not None))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. `class_` is class, `aria_label` is aria-label; an attribute of None or False is left out, True has no
    value; a child of None is left out."""
    shown = "".join(
        attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{shown}>" if name not in ("line", "circle") else f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def attribute(key: str, value: object) -> str:
    """One attribute with the space before it."""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(bare(value))}"'


def label(value: object, length: int = LABEL_LENGTH) -> str:
    """Text for a figure, where a few tags and entities would be drawn as markup; long text is cut."""
    text = printable(value)
    text = text if len(text) <= length else text[: length - 1] + "…"
    return html.escape(text, quote=False)


def table(caption: object, head: Sequence[object], rows: Sequence[Sequence[object]], **attributes: Any) -> Markup:
    """A table in a box that scrolls sideways by itself. The first cell of a row is its heading; numbers go right."""
    kinds = [None, *(numeric(rows, k) for k in range(1, len(head)))]
    heads = [tag("th", cell, scope="col", class_=kind) for cell, kind in zip(head, kinds, strict=True)]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", cell, class_=kind) for cell, kind in zip(row[1:], kinds[1:], strict=True)),
        )
        for row in rows
    ]
    inner = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *body),
        **attributes,
    )
    return tag("div", inner, class_="scroll", tabindex="0", role="region", aria_label=bare(caption))


def capital(text: str) -> str:
    """A sentence's first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def bare(value: object) -> str:
    """The text of Markup without its tags; other values as they are."""
    return html.unescape(re.sub("<[^>]*>", "", value)) if isinstance(value, Markup) else str(value)


def numeric(rows: Sequence[Sequence[object]], k: int) -> str | None:
    """The class of a column in which every cell is a number or missing."""
    cells = [cell for cell in (row[k] for row in rows) if isinstance(cell, Number) or cell not in ("", DASH, None)]
    return "num" if cells and all(isinstance(cell, Number) for cell in cells) else None


class Number(Markup):
    """Markup of a number: it is set to the right."""

    __slots__ = ()


def folded(summary: object, *children: object, **attributes: object) -> Markup:
    """What opens on a click."""
    return tag("details", tag("summary", summary), *children, **attributes)


def items(texts: Iterable[object], **attributes: object) -> Markup:
    """A list of sentences."""
    return tag("ul", *(tag("li", text) for text in texts), **attributes)


def numbers(*tables: object) -> Markup:
    """The numbers of a figure, on a click."""
    return folded("Numbers", *tables, class_="numbers")
