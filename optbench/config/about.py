"""The `about` of a YAML file: facts for the program, not settings. Their form is checked before anything reads them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from optbench.config import imports
from optbench.config.schema import check_spec
from optbench.config.trees import Node, is_list, is_mapping
from optbench.config.values import as_number, shown
from optbench.errors import ConfigError, suggest


def is_text(value: object) -> bool:
    """Return True for text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_texts(value: object) -> bool:
    """Return True for a list of texts."""
    return is_list(value) and all(map(is_text, value))


def is_text_mapping(value: object) -> bool:
    """Return True for a mapping of keys to texts."""
    return is_mapping(value) and all(map(is_text, value.values()))


def is_evaluations(value: object) -> bool:
    """Return True for a number above 0, text, or a mapping with `every` and `count`."""
    if is_mapping(value):
        return is_text(value.get("every")) and as_number(value.get("count")) is not None
    return (as_number(value) or 0.0) > 0 or value == "varies"


def is_groups(value: object) -> bool:
    """Return True for settings of the groups `matrices` and `rest`, or a list of such groups; [] for none."""
    named = (is_mapping(value) and all(map(is_mapping, value.values()))) or is_list(value)
    return named and set(value) <= {"matrices", "rest"}  # pyright: ignore[reportArgumentType]


def is_presets(value: object) -> bool:
    """Return True for boxes by name, each a mapping to texts beside the settings that it is `when` for."""
    boxes = value.values() if is_mapping(value) else ()
    return is_mapping(value) and all(
        is_mapping(box)
        and is_text_mapping({key: spec for key, spec in box.items() if key != "when"})
        and is_mapping(box.get("when", {}))
        for box in boxes
    )


def is_recommended(value: object) -> bool:
    """Return True for a mapping to numbers, or to lists of two."""
    return is_mapping(value) and all(
        as_number(one) is not None or (is_list(one) and len(one) == 2 and None not in map(as_number, one))
        for one in value.values()
    )


FORMS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(
        (
            *("algorithm", "check", "clip", "data", "host_waits", "kind", "model", "name", "reference", "schedule"),
            *("session", "switch", "takes", "target"),
        ),
        ("text", is_text),
    ),
    **dict.fromkeys(
        ("needs", "files", "command_lines", "escapes", "imports", "told", "drops", "not_identity", "classes"),
        ("a list of texts", is_texts),
    ),
    **dict.fromkeys(
        ("valid", "search", "players", "lacks", "renames", "moments"), ("a mapping to texts", is_text_mapping)
    ),
    **dict.fromkeys(("standard", "words", "implementations", "requires", "sizes"), ("a mapping", is_mapping)),
    "task": ("text", is_text),
    "groups": ("the groups' settings: {matrices: {rank: 8}, rest: {}}, or the names of the groups", is_groups),
    "fixed": ("a mapping or a list of texts", lambda value: is_mapping(value) or is_texts(value)),
    "presets": ('boxes by name: {marin: {lr: "log [1e-4, 1e-2]"}}', is_presets),
    "recommended": ("a mapping to numbers, or to [LOW, HIGH]", is_recommended),
    "rank": ("a number", lambda value: as_number(value) is not None),
    "evaluations": ("a number, varies, or {every: KEY, count: N}", is_evaluations),
    "reads": ("text or a list of texts", lambda value: is_text(value) or is_texts(value)),
    **dict.fromkeys(("capturable", "flat", "gives_way"), ("true or false", lambda value: isinstance(value, bool))),
}
"""The form of each fact that the program reads without a check of its own."""


def about_of(tree: Mapping[str, object], file: Path) -> Node:
    """Return the `about` of a file's tree; empty without one. Raises ConfigError for a fact of the wrong form."""
    about = tree.get("about", {})
    if not is_mapping(about):
        raise ConfigError(f"{file}: about: expected keys and values")
    check_facts(about, f"{file}: about")
    implementations = about.get("implementations", {})
    for name, facts in implementations.items():
        if not is_mapping(facts):
            raise ConfigError(f"{file}: about.implementations must map each name to its target")
        check_facts(facts, f"{file}: about.implementations.{shown(name)}")
    return dict(about)


OPTIMIZER_FACTS = (
    *("algorithm", "capturable", "classes", "decay", "differs", "draws_probes"),
    *("drops", "engine", "evaluations", "exact", "fixed"),
    *(
        "groups",
        "horizon",
        "host_waits",
        "implementations",
        "invariant",
        "moments",
        "name",
        "needs",
        "package",
        "paper",
    ),
    *("players", "presets", "recommended", "reference", "renames", "requires", "schedule", "search", "shapes"),
    *("shardable", "source_sha256"),
    *("state", "takes", "target", "tolerance", "valid"),
)


def check_known(facts: Mapping[str, object], where: str, known: Sequence[str] = OPTIMIZER_FACTS) -> None:
    """Raise ConfigError, with a suggestion, for a fact that an optimizer does not have."""
    for key in facts:
        if key not in known:
            raise ConfigError(f"{where}: unknown fact '{shown(key)}'", suggest(str(key), known))


def check_spelling(facts: Mapping[str, object], where: str) -> None:
    """Raise ConfigError for a fact of an optimizer's file that resembles a known one; others may be notes."""
    for key in facts:
        close = [] if key in OPTIMIZER_FACTS else difflib.get_close_matches(str(key), OPTIMIZER_FACTS, 1, 0.8)
        if close:
            raise ConfigError(f"{where}: unknown fact '{shown(key)}'", f"Did you mean {close[0]}?")


def check_facts(facts: Mapping[str, object], where: str) -> None:
    """Raise ConfigError for the first fact of the wrong form; the message begins with `where`."""
    for key, (words, fits) in FORMS.items():
        if key in facts and not fits(facts[key]):
            raise ConfigError(f"{where}.{key}={shown(facts[key])}: expected {words}")
    valid = facts.get("valid", {})
    for key, spec in valid.items() if is_mapping(valid) else ():
        try:
            check_spec(spec)
        except ValueError:
            hint = 'Intervals look like "[0, 1)" or "int [1, inf)"'
            raise ConfigError(f"{where}.valid.{shown(key)}={shown(spec)}: not an interval", hint) from None


def check_about(node: object, file: Path | str) -> None:
    """Raise ConfigError for a file of a group without the `about` that says what builds it."""
    if not is_mapping(node) or not is_mapping(node.get("about")):
        raise ConfigError(f"{file}: must hold keys and values, and the facts under 'about'")
    dotted = [key for key in keys_of(node) if "." in key]
    if dotted:
        raise ConfigError(f"{file}: the key '{shown(dotted[0])}' has a dot", "Nest it: {augment: {flip: true}}")
    about = about_of(node, Path(file))
    implementations: Mapping[str, Node] = about.get("implementations", {})
    if "target" not in about and not implementations:
        raise ConfigError(f"{file}: about.target is missing", "Give an import path, e.g. my_package.MyOptimizer")
    if "target" not in about and "impl" not in node:
        raise ConfigError(f"{file}: impl is missing", f"Name one of: {', '.join(map(str, implementations))}")
    for facts in [about] if "target" in about else implementations.values():
        if "target" not in facts:
            raise ConfigError(f"{file}: about.implementations must map each name to its target")
        if not imports.is_path(facts["target"]):
            raise ConfigError(f"{file}: target={shown(facts['target'])}: expected an import path, e.g. torch.optim.SGD")


def keys_of(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield the keys of nested settings, without those of `about`."""
    for key, value in settings.items():
        if key != "about":
            yield str(key)
            yield from keys_of(value) if is_mapping(value) else ()
