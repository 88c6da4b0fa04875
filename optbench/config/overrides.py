"""Overrides in Hydra's grammar, and the words of errors about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optbench.config import imports
from optbench.config.values import shown
from optbench.errors import ConfigError


@dataclass(frozen=True)
class Assignment:
    """One parsed override."""

    key: str
    value: Any
    text: str


def parse(overrides: Sequence[str]) -> list[Assignment]:
    """The overrides as assignments; ConfigError for what is no `key=value`."""
    return [parse_one(text) for text in overrides]


def parse_one(text: str) -> Assignment:
    """One override in Hydra's grammar. A leading + or ++ is accepted and means nothing: no key needs it."""
    check_form(text)
    key, _, value_text = text.partition("=")
    if imports.is_path(value_text) and key.lstrip("+") == "optimizer":
        return Assignment("optimizer", value_text, text)
    override = parse_override(text)
    if override.is_sweep_override():
        raise ConfigError(
            f"{shown(text)}: gives several values, and a run takes one", f"Use: optbench sweep {shown(text)}"
        )
    if not override.key_or_group or override.package is not None:
        raise ConfigError(f"{shown(text)}: '{shown(key)}' is no key")
    return Assignment(override.key_or_group.replace("/", "."), unquoted(read_value(override, text)), text)


def check_form(text: Any) -> None:
    """ConfigError for what cannot be `key=value`."""
    if isinstance(text, str) and text.startswith("~"):
        raise ConfigError(f"{shown(text)}: a key cannot be removed", "Set it to null, or a group to 'none', instead")
    if not isinstance(text, str) or "=" not in text:
        raise ConfigError(f"'{shown(text)}' is no override", "Overrides look like key=value, e.g. optimizer=lion")


def parse_override(text: str) -> Any:
    """Hydra's own reading of one override; ConfigError for what its grammar refuses."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    check_form(text)
    try:
        return OverridesParser.create().parse_override(text.lstrip("+"))
    except Exception as error:  # the parser raises its own and ANTLR's errors, and its functions any
        raise unreadable(text, error) from error


def read_value(override: Any, text: str) -> Any:
    """The value of an override that is no sweep."""
    try:
        return override.value()
    except Exception as error:
        raise unreadable(text, error) from error


def unreadable(text: str, error: Exception) -> ConfigError:
    """What the grammar does not take."""
    return ConfigError(f"{shown(text)}: cannot be read ({shown(root_cause(error))})", quoting_hint(text))


def unquoted(value: Any) -> Any:
    """Hydra's quoted strings as plain text, inside lists and mappings too."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, dict):
        return {str(unquoted(key)): unquoted(item) for key, item in value.items()}
    return value


def quoting_hint(text: str) -> str:
    """What to do about an override that the grammar refuses."""
    for left, right in ("{}", "[]", "()"):
        if text.count(left) != text.count(right):
            return f"A '{right if text.count(left) > text.count(right) else left}' is missing"
    key, _, value = text.partition("=")
    return f"Quote the value: '{shown(key)}=\"{shown(value)}\"'"


def root_cause(error: BaseException) -> str:
    """First line of the innermost exception's message."""
    message = type(error).__name__
    link: BaseException | None = error
    while link is not None:
        text = str(link).strip()
        message = text.splitlines()[0].strip() if text not in ("", "None") else message
        link = link.__cause__
    return message
