"""Overrides in Hydra's grammar, and the messages for those that cannot be read."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.config import imports
from optbench.config.own import OWN, SCRIPT
from optbench.config.references import check_references
from optbench.config.runconfig import SECOND
from optbench.config.values import shown
from optbench.errors import ConfigError

if TYPE_CHECKING:
    from optbench.config.hydra_api import ParsedOverride

MAY_BE_PATHS = (*OWN, *SECOND)
ARGUMENTS = f"{SCRIPT}.args"
QUOTES = ('"', "'")
CALL = re.compile(r"\w+\(")
LONGEST_ADVICE = 300  # characters; longer advice is not worth reading


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
    if is_bare_text(key, value_text):
        assignment = Assignment(key.lstrip("+"), value_text, text)
    else:
        override = parse_override(text)
        if override.is_sweep:
            raise several_values(text)
        if not override.key:
            raise ConfigError(f"{shown(text)}: '{shown(key)}' is not a key")
        try:
            assignment = Assignment(override.key, override.value, text)
        except Exception as error:  # functions of the grammar raise any
            raise unreadable(text, error) from error
    check_references(assignment.value, f"{shown(assignment.key)}=")
    return assignment


def is_bare_text(key: str, value: str) -> bool:
    """Return True for an import path or a script without quotes, which Hydra's grammar would refuse or take apart.

    A script's arguments, and a command line of several words, are one value whatever they contain."""
    key = key.lstrip("+")
    if value[:1] in QUOTES:
        return False
    if key == SCRIPT:
        return " " in value or ("," not in value and not CALL.match(value))
    return key == ARGUMENTS or (key in MAY_BE_PATHS and imports.is_path(value) and "," not in value)


def with_script_arguments(words: Sequence[str]) -> list[str]:
    """Return the words of a command line; those after `--` are the arguments of the script."""
    if "--" not in words:
        return list(words)
    at = words.index("--")
    before, after = list(words[:at]), words[at + 1 :]
    if not after:
        return before
    if any(word.startswith(f"{ARGUMENTS}=") for word in before):
        raise ConfigError(f"{ARGUMENTS} is given twice: by name, and by the words after --", "Give one of them")
    joined = shlex.join(after)
    return [*before, f"{ARGUMENTS}={in_quotes(joined) if joined[0] in QUOTES else joined}"]


def several_values(text: str) -> ConfigError:
    """Return the error for a run with several values of a key."""
    one = quoted_override(text)
    hint = (
        f"Use: optbench sweep {shlex.quote(text)}" if text.isprintable() and len(text) < 200 else "Use: optbench sweep"
    )
    return ConfigError(
        f"{shown(text)}: several values, but a run takes one", hint + (f"; for one value: {one}" if one else "")
    )


def check_form(text: object) -> None:
    """Raise ConfigError for what cannot be `key=value`."""
    if str(text).startswith("~"):
        raise ConfigError(f"{shown(text)}: a key cannot be removed", "Set it to null, or a group to 'none'")
    if not isinstance(text, str) or "=" not in text:
        raise ConfigError(f"'{shown(text)}' is not an override", "Overrides look like key=value, e.g. optimizer=lion")


def parse_override(text: str) -> ParsedOverride:
    """Return an override as Hydra reads it. Raises ConfigError for text that its grammar refuses."""
    check_form(text)
    try:
        return grammar(text.lstrip("+"))
    except Exception as error:  # the parser raises its own errors and ANTLR's
        raise unreadable(text, error) from error


@functools.lru_cache(maxsize=4096)
def grammar(text: str) -> ParsedOverride:
    """Parse an override, once for all cells of a sweep (2 ms)."""
    from optbench.config.hydra_api import ParsedOverride

    return ParsedOverride(text)


def unreadable(text: str, error: Exception) -> ConfigError:
    """Return the error for text that the grammar refuses."""
    reason = re.sub(r"LexerNoViableAltException\('(.*)'\)", r"'\1' is not allowed without quotes", root_cause(error))
    return ConfigError(f"{shown(text)}: cannot be read ({shown(reason)})", quoting_hint(text))


def quoting_hint(text: str) -> str:
    """Return how to repair an override that the grammar refuses; empty where quotes do not help."""
    for left, right in ("{}", "[]", "()"):
        if text.count(left) != text.count(right):
            return f"A '{right if text.count(left) > text.count(right) else left}' is missing"
    if CALL.match(text.partition("=")[2]):
        return (
            "Functions: interval(LOW,HIGH), range(START,STOP,STEP), choice(A,B), glob(PATTERN), tag(log,interval(1,2))"
        )
    each, whole = quoted_list(text), quoted_override(text)
    if each:
        return f"Quote each value: {each}" + (f"; or all as one: {whole}" if whole else "")
    return f"Quote the value: {whole}" if whole else ""


def quoted_list(text: str) -> str:
    """Return the override with those of its comma-separated values in quotes that need them; empty for one value."""
    key, _, value = text.partition("=")
    if "," not in value or not value.isprintable() or len(text) > LONGEST_ADVICE:
        return ""

    def readable(part: str) -> bool:
        try:
            return bool(grammar(f"{key.lstrip('+')}={part}").value)
        except Exception:
            return False

    parts = [part if readable(part) else in_quotes(part.strip()) for part in value.split(",")]
    return shlex.quote(f"{key}={','.join(parts)}") if all(map(readable, parts)) else ""


def quoted_override(text: str) -> str:
    """Return the override with its value in quotes, as typed in a shell; empty where that is no better.

    The advice is tried: what it says when pasted is the value that was meant."""
    key, _, value = text.partition("=")
    if not value.isprintable() or len(text) > LONGEST_ADVICE:
        return ""
    advised = f"{key}={in_quotes(value)}"
    try:
        return shlex.quote(advised) if grammar(advised.lstrip("+")).value == value else ""
    except Exception:  # the key is the trouble
        return ""


def in_quotes(value: str) -> str:
    """Return a value in quotes of Hydra's grammar."""
    quote = next((quote for quote in QUOTES if quote not in value), QUOTES[0])
    escaped = re.sub(rf"(\\*)({quote}|$)", lambda m: m[1] * 2 + (f"\\{quote}" if m[2] else ""), value)
    return f"{quote}{escaped}{quote}"


def unquoted(value: str) -> str:
    """Return a value as typed without the quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] in QUOTES and value[0] == value[-1] else value


def plain_text(value: str) -> str:
    """Return a value as typed without quotes, and without the backslashes that Hydra puts before signs in a list."""
    return re.sub(r"\\([^\w\s])", r"\1", unquoted(value))


def root_cause(error: BaseException) -> str:
    """Return the first line of the innermost exception's message."""
    message = type(error).__name__
    link: BaseException | None = error
    while link is not None:
        text = str(link).strip()
        message = text.splitlines()[0].strip() if text not in ("", "None") else message
        link = link.__cause__
    return message
