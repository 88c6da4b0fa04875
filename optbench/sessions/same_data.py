"""Compare data with those of a stored run, where only loading them shows a change."""

from __future__ import annotations

import torch

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sessions.assemble import data_root, data_source
from optbench.store import Document
from optbench.training.seeding import seeds_of


def require_same_data(config: RunConfig, run: Document) -> None:
    """Raise ConfigError if data are no longer those of a stored run.

    Embedded data change with the library that brings them, a user's own with whatever their function reads, unless
    the user gives a version. Content of files that settings name is part of the id, downloads have published
    checksums."""
    stored = (run.get("data") or {}).get("sha256")
    if stored is None or not (config.data.about.get("embedded") or may_change(config)):
        return
    found = data_sha256(config)
    if found != stored:
        raise ConfigError(
            f"{config.run_id} is finished, but data={config.data.name} is no longer what it was trained on "
            f"({stored[:12]}, now {found[:12]})",
            "Train on the present data with --force (the earlier results are kept aside), or in another --study",
        )


def may_change(config: RunConfig) -> bool:
    """Return True for data of a user's function whose content has no version."""
    return bool(getattr(data_source(config), "may_change", False))


def data_sha256(config: RunConfig) -> str:
    """Load the data of a run; return the hash of their samples."""
    return data_source(config).load(data_root(config), torch.device("cpu"), seeds_of(config.seed)).sha256
