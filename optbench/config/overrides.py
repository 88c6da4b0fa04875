"""Overrides in Hydra's grammar, and the messages for those that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.config import imports
from optbench.config.values import shown
from optbench.errors import ConfigError

if TYPE_CHECKING:
    from optbench.config.hydra_api import ParsedOverride


@dataclass(frozen=True)
class Assignment:
    """One override: a dotted key, its value, and its text for messages."""

    key: str
    value: object
    text: str


def parse(overrides: Sequence[str]) -> list[Assignment]:
    """Return the overrides as assignments. Raises ConfigError for one that is not `key=value`."""
    return [parse_one(text) for text in overrides]


def parse_one(text: str) -> Assignment:
    """Return one override as an assignment. A leading + or ++ is accepted and ignored: no key needs it."""
    check_form(text)
    key, _, value_text = text.partition("=")
    if imports.is_path(value_text) and key.lstrip("+") == "optimizer":
        return Assignment("optimizer", value_text, text)
    override = parse_override(text)
    if override.is_sweep:
        raise ConfigError(f"{shown(text)}: several values, but a run takes one", f"Use: optbench sweep {shown(text)}")
    if not override.key:
        raise ConfigError(f"{shown(text)}: '{shown(key)}' is not a key")
    try:
        return Assignment(override.key, override.value, text)
    except Exception as error:  # functions of the grammar raise any
        raise unreadable(text, error) from error


def check_form(text: object) -> None:
    """Raise ConfigError for what cannot be `key=value`."""
    if str(text).startswith("~"):
        raise ConfigError(f"{shown(text)}: a key cannot be removed", "Set it to null, or a group to 'none'")
    if not isinstance(text, str) or "=" not in text:
        raise ConfigError(f"'{shown(text)}' is not an override", "Overrides look like key=value, e.g. optimizer=lion")


def parse_override(text: str) -> ParsedOverride:
    """Return an override as Hydra reads it. Raises ConfigError for text that its grammar refuses."""
    from optbench.config.hydra_api import ParsedOverride

    check_form(text)
    try:
        return ParsedOverride(text.lstrip("+"))
    except Exception as error:  # the parser raises its own errors and ANTLR's
        raise unreadable(text, error) from error


def unreadable(text: str, error: Exception) -> ConfigError:
    """Return the error for text that the grammar refuses."""
    return ConfigError(f"{shown(text)}: cannot be read ({shown(root_cause(error))})", quoting_hint(text))


def quoting_hint(text: str) -> str:
    """Return how to repair an override that the grammar refuses."""
    for left, right in ("{}", "[]", "()"):
        if text.count(left) != text.count(right):
            return f"A '{right if text.count(left) > text.count(right) else left}' is missing"
    key, _, value = text.partition("=")
    return f"Quote the value: '{shown(key)}=\"{shown(value)}\"'"


def root_cause(error: BaseException) -> str:
    """Return the first line of the innermost exception's message."""
    message = type(error).__name__
    link: BaseException | None = error
    while link is not None:
        text = str(link).strip()
        message = text.splitlines()[0].strip() if text not in ("", "None") else message
        link = link.__cause__
    return message
