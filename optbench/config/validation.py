"""A mistake that pydantic finds in a YAML tree, as a ConfigError.

pydantic takes 0.1 s to load: import it, and files that define models, inside functions."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

from optbench.config.values import shown
from optbench.errors import ConfigError, nearest, suggest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    Model = TypeVar("Model", bound=BaseModel)

WORDS = {
    "Input should be greater": "expected a number greater",
    "Input should be less": "expected a number less",
    "Input should be": "expected",
    "a valid dictionary": "a mapping",
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
        raise config_error(error, where, model.model_fields) from None


def config_error(error: ValidationError, where: str = "", known: Collection[str] = ()) -> ConfigError:
    """Return a ConfigError for the first mistake: the key, what is wrong, and the nearest known key or value.

    `where` comes before the key: "study.yaml: " or "study.yaml: claim". `known` are the keys of the outermost mapping.
    A validator may raise PydanticCustomError with a `hint` in its context."""
    problem = error.errors(include_url=False)[0]
    location = problem["loc"]
    keys = shown("".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location))
    key = where + (keys if where and not where.endswith(" ") else keys.lstrip("."))
    if problem["type"] == "extra_forbidden":
        hint = suggest(str(location[0]), known) if known and len(location) == 1 else ""
        return ConfigError(f"{key}: unknown key", hint)
    if problem["type"] == "missing":
        return ConfigError(f"{key}: missing")
    message = re.split(r", unable to| or instance of", problem["msg"])[0]
    for word, plain in WORDS.items():
        message = message.replace(word, plain)
    return ConfigError(f"{key}={shown(problem['input'])}: {message}", hint_of(problem))


def hint_of(problem: ErrorDetails) -> str:
    """Return a validator's own hint, or the literal nearest to a misspelt one."""
    context = problem.get("ctx", {})
    match = nearest(str(problem["input"]), re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    return str(context.get("hint", f"Did you mean {match}?" if match else ""))
