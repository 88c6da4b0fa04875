"""Completion of key=value words, from the YAML files alone (standard library: it runs at every press of tab)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

GROUPS = ("optimizer", "model", "data", "schedule", "clip")
SECOND = {"optimizer_d": "optimizer"}  # choices of a second player, and the groups they are made from
MODIFIERS = "modifier"  # the folder of what stands at the root under its own name
KEY = re.compile(r"^( *)([A-Za-z_][\w]*):(.*)$")
ROOT_CHOICES = {
    "precision": ("fp32", "bf16", "fp16"),
    "micro_batch": ("auto",),
    "attention": ("flash", "efficient", "cudnn", "math"),
    "scale_lr": ("sqrt", "linear"),
    "scale_warmup": ("linear",),
    "tracker": ("auto", "wandb", "none"),
    "device": ("auto", "cpu", "cuda"),
}


def folders() -> list[Path]:
    """Configuration folders, the user's first."""
    package = Path(__file__).resolve().parent.parent
    packaged = package / "conf" if (package / "conf").is_dir() else package.parent / "conf"
    given = os.environ.get("OPTBENCH_CONFIG_DIR")
    return [*([Path(given).expanduser()] if given else []), packaged]


def choices(group: str) -> list[str]:
    """Names that a group offers."""
    name = SECOND.get(group, group)
    return sorted({file.stem for folder in folders() for file in (folder / name).glob("*.yaml")})


def keys_of(file: Path) -> Iterator[tuple[str, str]]:
    """Dotted keys of a YAML file of plain block mappings, with the text of their values; without `about`."""
    path: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        match = KEY.match(line)
        if not match:
            continue
        indent, key, value = len(match[1]), match[2], match[3].split(" #")[0].strip()
        path = [*(entry for entry in path if entry[0] < indent), (indent, key)]
        dotted = ".".join(name for _, name in path)
        if path[0][1] in ("about", "defaults"):
            continue
        yield dotted, value


def leaves(file: Path) -> list[str]:
    """The dotted keys that hold a value."""
    found = [key for key, _ in keys_of(file)]
    return [key for key in found if not any(other.startswith(key + ".") for other in found)]


def implementations(file: Path) -> list[str]:
    """Who implements an optimizer or modifier, as its file says under about.implementations."""
    block = re.search(r"^  implementations:\n((?: {4,}.*\n)+)", file.read_text(encoding="utf-8") + "\n", re.MULTILINE)
    return re.findall(r"^ {4}(\w+):", block[1], re.MULTILINE) if block else []


def chosen(group: str, words: Sequence[str]) -> Path | None:
    """The file of the group's choice on this command line, else of the default in run.yaml; a modifier's own file."""
    if group in choices(MODIFIERS):
        return next(file for folder in folders() if (file := folder / MODIFIERS / f"{group}.yaml").is_file())
    named = [word.split("=", 1)[1] for word in words if word.startswith(f"{group}=")]
    if group in SECOND and not named:
        return chosen(SECOND[group], words)
    group = SECOND.get(group, group)
    root = folders()[-1] / "root" / "run.yaml"
    default = re.search(rf"^ +- {group}: (\w+)", root.read_text(encoding="utf-8"), re.MULTILINE)
    name = named[-1] if named else default[1] if default else ""
    return next((file for folder in folders() if (file := folder / group / f"{name}.yaml").is_file()), None)


def second_players(words: Sequence[str]) -> list[str]:
    """The choices that the model's second player may have."""
    file = chosen("model", words)
    text = file.read_text(encoding="utf-8", errors="replace") if file else ""
    return [key for key in SECOND if re.search(rf"^ +players:.*: {key}\b", text, re.MULTILINE)]


def candidates(word: str, words: Sequence[str]) -> list[str]:
    """Whole words that may stand where `word` is being typed."""
    key, equals, _ = word.partition("=")
    group = word.split(".")[0]
    known = (*GROUPS, *second_players(words), *choices(MODIFIERS))
    file = chosen(group, words) if "." in word and group in known else None
    if equals:
        listed, comma, _ = word.partition("=")[2].rpartition(",")  # a sweep's list: the last name is being typed
        taken = listed.split(",")
        return [f"{key}={listed}{comma}{value}" for value in values_of(key, file) if value not in taken]
    if "." in word and group in known:
        return [f"{group}.{key}=" for key in leaves(file)] if file else []
    root = leaves(folders()[-1] / "root" / "run.yaml")
    return [*(f"{group}=" for group in known), *(f"{key}=" for key in root)]


def values_of(key: str, file: Path | None) -> Sequence[str]:
    """What may stand behind `key=`, where that is a choice; `file` is the file of the key's group."""
    if key in (*GROUPS, *SECOND):
        return choices(key)
    if key in choices(MODIFIERS):
        return ("true", "false")
    return implementations(file) if file and key.endswith(".impl") else ROOT_CHOICES.get(key, ())


def default_of(key: str, words: Sequence[str]) -> str:
    """The text of a key's value in its YAML file."""
    group, dot, rest = key.partition(".")
    file = chosen(group, words) if dot else folders()[-1] / "root" / "run.yaml"
    return dict(keys_of(file)).get(rest if dot else key, "") if file else ""


def complete_override(ctx: Any, args: list[str], incomplete: str) -> list[str]:
    """Typer's callback. zsh and fish hand over key=value whole; bash splits it at `=` and wants the value alone."""
    words, word, values_only = shell_words(args, incomplete)
    found = [candidate for candidate in candidates(word, words) if candidate.startswith(word)]
    if len(found) == 1 and found[0].endswith("="):  # a lone candidate would get a space behind its `=`
        found += candidates(found[0], words) or [found[0] + default_of(found[0][:-1], words)]
    return [candidate.split("=", 1)[1] for candidate in found] if values_only else found


def complete_slug(ctx: Any, args: list[str], incomplete: str) -> list[str]:
    """Typer's callback for the claims under experiments/, which lies beside conf/."""
    found = sorted(file.parent.name for file in (folders()[-1].parent / "experiments").glob("*/study.yaml"))
    return [name for name in found if name.startswith(incomplete)]


def shell_words(args: Sequence[str], incomplete: str) -> tuple[list[str], str, bool]:
    """The words of the command line with bash's pieces around `=` joined, the word at the cursor, and whether bash
    replaces only what follows the `=`."""
    line = os.environ.get("COMP_WORDS", "")
    pieces = line.split("\n") if "\n" in line else line.split()
    try:
        at = int(os.environ.get("COMP_CWORD", ""))
    except ValueError:  # zsh and fish: there is no index
        return [*args, *pieces], incomplete, False
    joined = re.sub(r"\s*=\s*", "=", " ".join(pieces[:at])).split(" ")
    current = pieces[at] if at < len(pieces) else ""
    before = pieces[at - 1] if 0 < at <= len(pieces) else ""
    if current == "=":
        return joined, f"{before}=", True
    if before == "=" and at >= 2:
        return joined, f"{pieces[at - 2]}={current}", True
    return joined, current, False
