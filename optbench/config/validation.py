"""What pydantic finds wrong with a YAML tree, as one ConfigError.

pydantic takes 0.1 s to load: import it, and files that define models, inside functions."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

from optbench.config.trees import is_list, is_mapping
from optbench.config.values import shown
from optbench.errors import ConfigError, nearest, suggest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    Model = TypeVar("Model", bound=BaseModel)

Path = tuple[str | int, ...]
WORDS = {
    "Value error, ": "",
    "Input should be": "expected",
    "valid dictionary": "mapping",
    "a valid string": "text",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "valid ": "",
}


def validated(model: type[Model], tree: object, where: str) -> Model:
    """Return `tree` as a `model`, or raise the ConfigError of `config_error`."""
    from pydantic import ValidationError

    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise config_error(error, tree, where, model.model_fields) from None


def config_error(error: ValidationError, tree: object, where: str = "", known: Collection[str] = ()) -> ConfigError:
    """Return a ConfigError that names the key, what is wrong, and the nearest known key or value.

    `where` comes before the key: "study.yaml: " or "study.yaml: claim". `known` are the keys of the outermost mapping.
    A validator may raise PydanticCustomError with a `hint` in its context."""
    found = [(path_of(one["loc"], tree), one) for one in error.errors(include_url=False)]
    path, first = max(found, key=lambda pair: len(pair[0]))  # the innermost: a union reports its outer types as well
    last = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        hint = suggest(last, known) if known and len(path) == 1 else ""
        return ConfigError(f"{place(where, path)}: unknown key", hint)
    if first["type"].startswith("missing"):
        return ConfigError(f"{place(where, (*path, last))}: missing")
    wrong = dict.fromkeys(message_of(one) for other, one in found if other == path)  # one for each part of a union
    message = " or ".join(wrong).replace(" or expected ", " or ")
    return ConfigError(f"{place(where, path)}={shown(first['input'])}: {message}", hint_of(first))


def path_of(location: Path, tree: object) -> Path:
    """Return the keys and indices of pydantic's location that are in the tree; it also names the parts of a union."""
    path: list[str | int] = []
    for part in location:
        if is_mapping(tree) and part in tree:
            tree = tree[str(part)]
        elif is_list(tree) and isinstance(part, int):
            tree = tree[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def place(where: str, path: Path) -> str:
    """Return the place of a mistake: "study.yaml: claim.measure"."""
    keys = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return where + (keys if where and not where.endswith(" ") else keys.lstrip("."))


def message_of(error: ErrorDetails) -> str:
    """Return pydantic's message as "expected a number"."""
    message = re.sub(r"Input should be (?=greater|less)", "expected a number ", error["msg"])
    for word, plain in WORDS.items():
        message = message.replace(word, plain)
    return re.split(r", unable to| or instance of", message)[0]


def hint_of(error: ErrorDetails) -> str:
    """Return a validator's own hint, or the literal nearest to a misspelt one."""
    context = error.get("ctx", {})
    literals = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    match = nearest(str(error["input"]), literals)
    return str(context.get("hint", f"Did you mean {match}?" if match else ""))
