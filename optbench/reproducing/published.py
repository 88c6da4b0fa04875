"""The verdicts that are committed: results/claims/SLUG-SCALE/verdict.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError
from optbench.reproducing.publish import SCHEMA, VERDICT

FOLDER = Path("results") / "claims"
SHOWN = ("slug", "title", "verdict", "criteria")
COMPARED = {"device": "device", "versions": "versions", "claim": "claim", "level": "level of confidence"}


def verdicts(folder: Path) -> list[dict[str, Any]]:
    """Every published verdict below a folder, in the order of their names."""
    return [read(file) for file in sorted(folder.glob(f"*/{VERDICT}"))]


def read(file: Path) -> dict[str, Any]:
    """One. Raises ConfigError for a file that is none."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA or not all(key in tree for key in SHOWN):
        raise ConfigError(f"{file}: is no published verdict", "optbench reproduce SLUG --publish writes one")
    return tree


def agreement(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """How a verdict stands to the one published before, in a line: the same, or what differs beside it."""
    said = f"published {before.get('date') or 'before'} on {before.get('device') or 'an unknown device'}"
    if now["verdict"] == before["verdict"]:
        return f"agrees with the verdict {said}"
    plain = json.loads(json.dumps(dict(now), default=str))
    changed = [words for key, words in COMPARED.items() if plain.get(key) != before.get(key)]
    why = f"changed since: {', '.join(changed)}" if changed else "with the same claim, device and versions"
    return f"differs from the verdict {said}: it was {before['verdict']}; {why}"
