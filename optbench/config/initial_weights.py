"""`init`: the weights that a run starts from. It names a file, an earlier run, or a pretrained model of a library.

init=./weights.pt           a file with a state dict, or a checkpoint of optbench
init=vit-digits-adamw-s0-…  a finished run of the same results folder, by its id
init=timm/resnet18          a pretrained model of a library in optbench/models/pretrained
init=hf/./my-model          ... or of a folder that the library can read
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from optbench.config.content import fingerprint
from optbench.config.own import is_module
from optbench.config.runconfig import Choice
from optbench.config.values import as_typed, shown
from optbench.errors import ConfigError
from optbench.files import expanded

InitKind = Literal["file", "run", "library"]
FILE, RUN, LIBRARY = "file", "run", "library"
PRETRAINED = "optbench.models.pretrained"
SHARDED = ".parts"  # a checkpoint that several ranks wrote is a folder
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors", SHARDED)
CHECKPOINTS = "checkpoints"  # in the folder of a run


def init_kind(init: str) -> InitKind:
    """Return what `init` names. A word that is no file and has no `/` is the id of a run."""
    if library_of(init) is not None:
        return LIBRARY
    path = expanded(init)
    return FILE if "/" in init or path.suffix in SUFFIXES or os.path.exists(path) else RUN


def library_of(init: str) -> tuple[str, str] | None:
    """Return the module of a library and the name of a model in it; None if `init` names no library."""
    library, _, name = init.partition("/")
    module = f"{PRETRAINED}.{library}"
    return (module, name) if name and library.isidentifier() and is_module(module) else None


def model_folder(name: str) -> Path | None:
    """Return the folder that a model's name stands for: `./my-model`, `/models/bert`, `~/bert`; None for others."""
    return expanded(name) if name.startswith((".", "/", "~")) else None


def init_content(init: str) -> str | None:
    """Return the hash of the file or folder that `init` names; None for a run, and for a library's own models.

    Raises ConfigError if there is no such file."""
    if "\0" in init:
        raise ConfigError(f"init={shown(init)}: no such file")
    found = library_of(init)
    path = model_folder(found[1]) if found else expanded(init)
    if path is None or (found is None and init_kind(init) == RUN):
        return None
    check_file(init, path, is_model=found is not None)
    return fingerprint(path)


def check_file(init: str, path: Path, *, is_model: bool) -> None:
    """Raise ConfigError for a missing file, and for a folder that cannot hold weights."""
    if not os.path.exists(path):
        hint = "" if is_model else "A file, the id of a run, timm/NAME or hf/NAME"
        raise ConfigError(f"init={shown(init, 200)}: no such {'folder' if is_model else 'file'}", hint)
    if is_model != os.path.isdir(path) and not (path.suffix == SHARDED and not is_model):
        if is_model:
            raise ConfigError(f"init={shown(init, 200)}: is a file, but a model of this library is a folder")
        raise ConfigError(f"init={shown(init, 200)}: is a folder", folder_hint(path))


def folder_hint(path: Path) -> str:
    """Return what to name instead of a folder."""
    if (path / "run.json").exists():
        return f"Name the run, init={path.name}, or the file in {path / CHECKPOINTS}"
    if (path / "config.json").exists():
        return f"For a model of transformers: init=hf/{path if path.is_absolute() else f'./{path}'}"
    return "Name a file in it"


def check_has_weights(root: Mapping[str, Any], model: Choice) -> None:
    """Raise ConfigError for `init` or `freeze` with a model that is not optbench's to build: that of a script."""
    for key in ("init", "freeze"):
        if root[key] and "session" in model.about:
            raise ConfigError(
                f"{key}={shown(as_typed(root[key]), 200)}: a training script builds its own model",
                "Let the script read the weights or freeze its parameters; pass it the words after --",
            )


def init_label(init: str) -> str:
    """Return a short name for reports: that of a file, of the run that a checkpoint belongs to, or the text itself."""
    if "/" not in init or library_of(init) is not None:
        return init
    path = Path(init)
    return path.parts[-3] if len(path.parts) > 2 and path.parts[-2] == CHECKPOINTS else path.name
