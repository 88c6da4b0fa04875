"""What `optbench data` does: list, fetch and verify data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optbench import config as configuration
from optbench.cli.tables import table
from optbench.config import RunConfig
from optbench.contracts import DataSource
from optbench.errors import MissingError, NotHeld, OptbenchError

Emit = Callable[..., None]


def source_of(name: str, overrides: Sequence[str], config_dir: Path | None) -> tuple[RunConfig, DataSource]:
    """The configuration that chooses a data set, and the set before its samples are loaded."""
    from optbench.config import imports

    config = configuration.load([f"data={name}", *overrides], config_dir)
    return config, imports.load(config.data.target)(**config.data.settings)


def list_(config_dir: Path | None, as_json: bool, emit: Emit) -> None:
    """`optbench data list`."""
    names = configuration.options(configuration.config_folders(config_dir), "data")
    rows = [listed(name, config_dir) for name in names]
    emit(as_json, rows, lambda: table("", rows))


def listed(name: str, config_dir: Path | None) -> dict[str, Any]:
    """One line about a data set."""
    from optbench.sessions.assemble import data_root

    config, source = source_of(name, [], config_dir)
    about = config.data.about
    try:
        here = "embedded" if about.get("embedded") else str(source.locate(data_root(config)) or "absent")
    except OptbenchError as error:
        here = str(error.args[0])
    sizes = about.get("sizes") or {}
    return {
        "name": name,
        "title": str(about.get("title", "")),
        "train/validation/test": "/".join(str(sizes.get(s, "?")) for s in ("train", "validation", "test")),
        "where": here,
    }


def get(
    name: str,
    overrides: Sequence[str],
    config_dir: Path | None,
    as_json: bool,
    notice: Callable[[str], None],
    emit: Emit,
) -> None:
    """`optbench data get`."""
    from optbench.sessions.assemble import data_root

    config, source = source_of(name, overrides, config_dir)
    last = [""]

    def progress(what: str, fraction: float) -> None:
        line = f"{what}: {fraction:.0%}"
        if line != last[0]:
            last[0] = line
            notice(line)

    folder = source.get(data_root(config), progress)
    emit(as_json, {"name": name, "folder": str(folder)}, lambda: print(f"{name} lies in {folder}"))


def verify(name: str, overrides: Sequence[str], config_dir: Path | None, as_json: bool, emit: Emit) -> None:
    """`optbench data verify`: exit 4 where the set is absent, 3 where it differs."""
    from optbench.sessions.assemble import data_root

    config, source = source_of(name, overrides, config_dir)
    root = data_root(config)
    folder = source.locate(root)
    if folder is None:
        raise MissingError(f"data={name} is not under {root}", f"Fetch it: optbench data get {name}")
    differences = source.verify(root)
    emit(
        as_json,
        {"name": name, "folder": str(folder), "differences": differences},
        lambda: print("\n".join(differences) or f"{name} in {folder} agrees with its published checksums"),
    )
    if differences:
        raise NotHeld(
            f"{name} differs from its published checksums in {len(differences)} places",
            "data.verify=off accepts it and marks every result",
        )
