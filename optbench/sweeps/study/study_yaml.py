"""study.yaml: the settings of a study at one of its scales."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from optbench.config import read_yaml
from optbench.config.validation import config_error
from optbench.config.values import shown
from optbench.errors import ConfigError

NOT_KEYS = {"scale": "List scales in the file, and choose one by --scale", "name": "Did you mean study?"}


def read_study_file(file: Path, scale: str | None) -> dict[str, Any]:
    """Return the settings of a study.yaml, or of the one in a folder, at a scale (default: the first), with its `name`.

    Raises ConfigError for a file that cannot be read and for keys of the wrong form."""
    file = file / "study.yaml" if os.path.isdir(file) else file
    if not os.path.lexists(file):
        raise ConfigError(f"{shown(file, 200)}: no such study file")
    tree = read_yaml(file)
    check_form(tree, file)
    scales = tree.pop("scales", None) or {}
    if scale is not None and scale not in scales:
        raise ConfigError(f"--scale {scale}: {file} has no such scale", f"Known: {', '.join(scales) or 'none'}")
    scale = scale or next(iter(scales), None)
    own = scales[scale] if scale is not None else {}
    tree = {**tree, **own, "overrides": [*tree.get("overrides", []), *own.get("overrides", [])]}
    for key, hint in NOT_KEYS.items():
        if key in tree:
            raise ConfigError(f"{file}: {key}: unknown key", hint)
    if tree.get("claim") is not None:
        from optbench.config.claims import criteria_of, normalised

        tree["claim"] = normalised(tree["claim"])
        criteria_of(tree["claim"], f"{file}: claim")
    study = tree.pop("study", None) or file.parent.resolve().name
    return {**tree, "scale": scale, "name": f"{study}-{scale}" if scale else study}


def check_form(tree: dict[str, Any], file: Path) -> None:
    """Raise ConfigError for overrides, names or scales of the wrong form."""
    from pydantic import BaseModel, ValidationError

    class Scale(BaseModel, strict=True):
        overrides: list[str] = []
        protocol: str | None = None
        study: str | None = None

    class StudyFile(Scale):
        scales: dict[str, Scale] | None = None

    try:
        StudyFile.model_validate(tree)
    except ValidationError as error:
        raise config_error(error, f"{file}: ") from None
