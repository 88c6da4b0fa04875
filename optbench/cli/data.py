"""`optbench data`: list, fetch and verify data sets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli.options import AsJson, ConfigDir, Debug, Overrides
from optbench.cli.output import Output
from optbench.errors import ChecksumMismatch, MissingError, OptbenchError

if TYPE_CHECKING:
    from optbench.config import RunConfig
    from optbench.contracts import DataSource

log = logging.getLogger(__name__)
Name = Annotated[str, typer.Argument(help="A data set, e.g. cifar10")]


def list_(config_dir: ConfigDir = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """List the data sets with their sizes and folders."""
    from optbench import config as configuration

    names = configuration.options(configuration.config_folders(config_dir), "data")
    Output(as_json).table([row(name, config_dir) for name in names])


def get(
    name: Name,
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Download a data set."""
    from optbench.sessions.assemble import data_root

    output = Output(as_json)
    config, source = source_of(name, overrides, config_dir)
    last = [""]

    def progress(what: str, fraction: float) -> None:
        line = f"{what}: {fraction:.0%}"
        if line != last[0]:
            last[0] = line
            log.info(line)

    folder = source.get(data_root(config), progress)
    output.lines({"name": name, "folder": str(folder)}, [f"{name} is in {folder}"])


def verify(
    name: Name,
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare a data set with its published checksums; without any, show the hash of its content.

    Exit code 4 if the data set is missing, 3 if it differs."""
    from optbench.sessions.assemble import data_root

    output = Output(as_json)
    config, source = source_of(name, overrides, config_dir)
    root = data_root(config)
    folder = source.locate(root)
    if folder is None:
        raise MissingError(f"data={name} is not under {root}", f"Download it: optbench data get {name}")
    differences = source.verify(root)
    tree = {"name": name, "folder": str(folder), "published": differences is not None, "differences": differences or []}
    if differences is None:
        from optbench.sessions.same_data import data_sha256

        tree["sha256"] = data_sha256(config)
        output.lines(
            tree, [f"{name} in {folder}: no checksums are published; the SHA-256 of its content is", tree["sha256"]]
        )
        return
    output.lines(tree, differences or [f"{name} in {folder} agrees with its published checksums"])
    if differences:
        raise ChecksumMismatch(
            f"{name} differs from its published checksums in {len(differences)} places",
            "data.verify=off accepts it and marks every result",
        )


def source_of(name: str, overrides: Overrides, config_dir: Path | None) -> tuple[RunConfig, DataSource]:
    """Return the configuration that chooses a data set, and its source; no samples are loaded."""
    from optbench.config import load
    from optbench.sessions.assemble import data_source

    config = load([f"data={name}", *(overrides or [])], config_dir)
    return config, data_source(config)


def row(name: str, config_dir: Path | None) -> dict[str, Any]:
    """Return a data set's row of the list."""
    from optbench.sessions.assemble import data_root

    config, source = source_of(name, [], config_dir)
    about = config.data.about
    try:
        place = "embedded" if about.get("embedded") else str(source.locate(data_root(config)) or "absent")
    except OptbenchError as error:
        place = error.message
    sizes = about.get("sizes") or {}
    return {
        "name": name,
        "title": str(about.get("title", "")),
        "train/validation/test": "/".join(str(sizes.get(s, "?")) for s in ("train", "validation", "test")),
        "where": place,
    }
