"""Rows of a text data set on the Hugging Face hub, or in a local folder, streamed by the `datasets` library."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.config.content import fingerprint
from optbench.data.user_path import looks_like_a_path, missing_path
from optbench.errors import ConfigError, MissingError, OptbenchError, first_line
from optbench.files import expanded

if TYPE_CHECKING:
    from datasets import IterableDataset

CONNECT_SECONDS = 10


@contextmanager
def download_errors(name: str, path: str) -> Iterator[None]:
    """Turn any error of the library (missing, offline or malformed data) into a MissingError."""
    try:
        yield
    except (OptbenchError, ModuleNotFoundError):
        raise
    except Exception as error:  # the library and its dependencies raise many kinds
        raise MissingError(
            f"data={name} data.path={path} cannot be downloaded: {first_line(error) or type(error).__name__}",
            f"Check the network and resume the download with: optbench data get {name}",
        ) from error


def open_stream(name: str, path: str, configuration: str | None, split: str, revision: str | None) -> IterableDataset:
    """Open a split of the data set `path` as a stream with a state that can be saved."""
    import datasets

    folder = expanded(path)
    local = os.path.isdir(folder)
    with download_errors(name, path):
        if not local:
            require_hub(name)
        return datasets.load_dataset(
            str(folder) if local else path,
            configuration,
            split=split,
            revision=revision,
            streaming=True,
        )


def local_mark(path: str) -> str:
    """Return the first digits of the content of a local folder, so that its text is kept apart; "" for a hub's name.

    Raises MissingError for a folder that is not there."""
    folder = expanded(path)
    if looks_like_a_path(path) and not os.path.isdir(folder):
        raise missing_path("data.path", path, Path(), "folder")
    return (fingerprint(folder) or "")[:8] if os.path.isdir(folder) else ""


def require_hub(name: str) -> None:
    """Raise MissingError quickly if the hub does not answer; the library itself retries for half a minute."""
    from datasets import config

    hub = config.HF_ENDPOINT
    hint = f"On a machine with a network, run: optbench data get {name}   (then copy the folder that it prints)"
    if config.HF_HUB_OFFLINE:
        raise MissingError(f"data={name} cannot be downloaded: HF_HUB_OFFLINE is set", hint)
    try:
        urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=CONNECT_SECONDS).close()
    except urllib.error.HTTPError:
        return  # it answers
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise MissingError(f"data={name} cannot be downloaded: {hub} does not answer ({reason})", hint) from error


def text_column(row: Mapping[str, object], column: str, path: str) -> str:
    """Return the text of a row. Raises ConfigError if the column does not contain text."""
    text = row.get(column)
    if not isinstance(text, str):
        raise ConfigError(f"data.column={column}: {path} has no text column of this name; it has {', '.join(row)}")
    return text
