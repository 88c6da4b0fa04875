"""YAML files as plain data. A file of a user's or a stranger's folder is held to limits before its values are built:
an alias bomb or deep nesting of a few kilobytes would otherwise take minutes or end the process.

YAML 1.1 as OmegaConf reads it: 1e-3 is a number, dates are text, a key given twice is an error."""
# pyright: basic

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from optbench.config.references import check_references
from optbench.config.values import shown
from optbench.errors import ConfigError
from optbench.files import read_bytes

LARGEST = 2**20  # bytes; the largest packaged file has 6 KB
MOST_VALUES = 5_000  # keys and values, every alias counted in full
DEEPEST = 50  # levels
FLOAT = re.compile(
    r"""^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.X,
)


def load_yaml(file: Path) -> object:
    """Return the plain data of a YAML file. Raises ConfigError that names the file and the line of a mistake."""
    return parse_yaml(yaml_text(file), file)


def yaml_text(file: Path) -> str:
    """Return the text of a YAML file, without a byte-order mark. Raises ConfigError."""
    try:
        content = read_bytes(file, limit=LARGEST)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}, line {line}: not UTF-8 text", "Save the file as UTF-8") from None


def parse_yaml(text: str, file: Path) -> object:
    """Return the plain data of YAML text, an empty mapping for an empty one; `file` is named in errors."""
    import yaml

    try:
        check_size(text, file)
        tree = yaml.load(text, loader())
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}{line_of(error, text)}: {shown(problem_of(error))}") from None
    except (ValueError, OverflowError, TypeError) as error:  # e.g. a whole number of 5,000 digits
        raise ConfigError(f"{file}: {shown(error)}") from None
    check_references(tree, f"{file}: ")
    return {} if tree is None else tree


def check_size(text: str, file: Path) -> None:
    """Raise ConfigError for text of too many values or levels, or with an alias of itself."""
    import yaml

    totals: dict[str, int] = {}
    stack: list[tuple[str | None, int]] = [(None, 0)]  # of each open collection: its anchor and the values before it
    values = 0
    for event in yaml.parse(text, loader()):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in totals and any(anchor == event.anchor for anchor, _ in stack):
                raise ConfigError(f"{file}, line {line}: *{shown(event.anchor)} contains itself")
            values += totals.get(event.anchor, 1)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            if anchor is not None:
                totals[anchor] = values - before
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, values))
            values += 1
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
        if values > MOST_VALUES or len(stack) > DEEPEST:
            limit = f"{MOST_VALUES:,} keys and values" if values > MOST_VALUES else f"{DEEPEST} levels"
            raise ConfigError(f"{file}, line {line}: more than {limit}")


@functools.cache
def loader() -> Any:
    """Return the class that parses YAML, in C where PyYAML has that."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            known = set()
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                plain = isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":null")
                twice = (key.tag, str(key.value)) in known
                if twice or not plain or not key.value.isprintable():
                    said = f"the key '{key.value}' is given twice" if twice else "a key must be plain text"
                    raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
                known.add((key.tag, str(key.value)))
            return super().construct_mapping(node, deep=deep)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    for tag in ("binary", "set", "omap", "pairs", "timestamp"):  # no plain data
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", base.construct_undefined)
    return Loader


def line_of(error: Any, text: str) -> str:
    """Return ", line 3" where a YAML error knows its place."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", None)  # of a character that YAML does not allow
    if mark is None and not isinstance(position, int):
        return ""
    return f", line {mark.line + 1 if mark is not None else text.count(chr(10), 0, position) + 1}"


def problem_of(error: Any) -> str:
    """Return what is wrong, in one line."""
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).partition("\n")[0]
