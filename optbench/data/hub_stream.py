"""Rows of a text set on the hub, or in a local folder, streamed by the `datasets` library."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, MissingError, OptbenchError, first_line

CONNECT_SECONDS = 10


@contextmanager
def reported(name: str, path: str) -> Iterator[None]:
    """Whatever the library raises for what is absent, offline or malformed becomes one MissingError."""
    try:
        yield
    except OptbenchError:
        raise
    except Exception as error:  # the library, and those below it, raise many kinds
        raise MissingError(
            f"data={name} data.path={path} cannot be fetched: {first_line(error) or type(error).__name__}",
            f"Be online and run it again, it goes on where it stopped: optbench data get {name}",
        ) from error


def open_stream(name: str, path: str, configuration: str | None, split: str, revision: str | None) -> Any:
    """The streaming set `path`, whose state can be saved."""
    import datasets

    local = Path(path).expanduser().is_dir()
    with reported(name, path):
        if not local:
            require_hub(name)
        return datasets.load_dataset(
            str(Path(path).expanduser()) if local else path,
            configuration,
            split=split,
            revision=revision,
            streaming=True,
        )


def require_hub(name: str) -> None:
    """MissingError, soon, where the hub does not answer: the library itself tries again for half a minute."""
    import datasets

    hub = datasets.config.HF_ENDPOINT
    hint = f"On a machine with a network: optbench data get {name}   (then bring the folder it prints)"
    if datasets.config.HF_HUB_OFFLINE:
        raise MissingError(f"data={name} cannot be fetched: HF_HUB_OFFLINE is set", hint)
    try:
        urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except (OSError, ValueError) as error:
        raise MissingError(
            f"data={name} cannot be fetched: {hub} does not answer ({getattr(error, 'reason', None) or error})", hint
        ) from error


def text_in(row: dict[str, Any], column: str, path: str) -> str:
    """The text of a row. ConfigError where the column is another."""
    text = row.get(column)
    if not isinstance(text, str):
        raise ConfigError(f"data.column={column}: {path} has no such text; its columns are {', '.join(row)}")
    return text
