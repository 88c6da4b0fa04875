"""The committed verdicts: results/claims/SLUG-SCALE/verdict.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from optbench.errors import ConfigError
from optbench.reproducing.document import FILE, REQUIRED, SCHEMA, VerdictDocument

FOLDER = Path("results") / "claims"
RENAMED = {"inconclusive": "undecided"}
"""Words of verdicts that were published under another name."""
COMPARED = {"device": "device", "versions": "versions", "claim": "claim", "level": "level of confidence"}


def verdicts(folder: Path) -> list[VerdictDocument]:
    """Return every published verdict below a folder, by name."""
    return [read(file) for file in sorted(folder.glob(f"*/{FILE}"))]


def read(file: Path) -> VerdictDocument:
    """Read one verdict. Raises ConfigError."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA or not all(key in tree for key in REQUIRED):
        raise ConfigError(f"{file}: not a published verdict", "Write it again: optbench reproduce SLUG --publish")
    tree["verdict"] = RENAMED.get(tree["verdict"], tree["verdict"])
    return cast("VerdictDocument", tree)


def agreement(now: Mapping[str, object] | VerdictDocument, before: VerdictDocument) -> str:
    """Return whether a verdict agrees with the one published before, and what else changed, in a line."""
    when = f"published {before.get('date') or 'before'} on {before.get('device') or 'an unknown device'}"
    verdict = before.get("verdict")
    if now.get("verdict") == verdict:
        return f"agrees with the verdict {when}"
    plain = json.loads(json.dumps(dict(now), default=str))
    changed = [words for key, words in COMPARED.items() if plain.get(key) != before.get(key)]
    reason = f"changed since: {', '.join(changed)}" if changed else "with the same claim, device and versions"
    return f"differs from the verdict {when}: it was {verdict}; {reason}"
