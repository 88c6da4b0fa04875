"""Files of published data sets: location, verification and download."""

from __future__ import annotations

import hashlib
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optbench.contracts import Progress
from optbench.errors import MissingError
from optbench.store import storage_errors

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS = 20


@dataclass(frozen=True)
class PublishedFiles:
    """The published files of a data set: its name here, their folder below the data folder, and their MD5s."""

    name: str
    folder: str
    md5: Mapping[str, str]

    def locate(self, root: Path) -> Path | None:
        """Return the folder if it has every file."""
        folder = root / self.folder
        return folder if all((folder / file).is_file() for file in self.md5) else None

    def differences(self, folder: Path) -> list[str]:
        """Return one line for each file that differs from the published one."""
        return [
            f"{folder / file}: MD5 {found}, published {md5}"
            for file, md5 in self.md5.items()
            if (found := file_md5(folder / file)) != md5
        ]

    def require(self, root: Path) -> Path:
        """Return the folder. Raises MissingError with the command that downloads it."""
        folder = self.locate(root)
        if folder is None:
            missing = ", ".join(file for file in self.md5 if not (root / self.folder / file).is_file())
            raise MissingError(
                f"data={self.name} not found: {root / self.folder} lacks {missing}",
                f"Run: optbench data get {self.name}   (or put the files there)",
            )
        return folder

    def is_verified(self, folder: Path, verify: str) -> bool:
        """Return True if the content is the published one. Raises MissingError if not, unless `verify` is "off"."""
        return is_published(self.name, self.differences(folder), verify)


def is_published(name: str, differences: list[str], verify: str) -> bool:
    """Return True if there are no differences. Raises MissingError if there are, unless `verify` is "off"."""
    if differences and verify != "off":
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise MissingError(
            f"data={name} differs from the published data: {differences[0]}{more}",
            "Set data.verify=off to use it anyway; every result is then marked",
        )
    return not differences


def file_md5(file: Path) -> str:
    """Return the MD5 of a file's content."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def download(url: str, target: Path, md5: str, progress: Progress, *, name: str) -> None:
    """Download a file atomically. Raises MissingError without a network or if the content has another MD5."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        out = open(temporary, "wb")  # noqa: SIM115
    with out:
        try:
            with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response:
                total, done = int(response.headers.get("Content-Length") or 0), 0
                while chunk := response.read(CHUNK_BYTES):
                    out.write(chunk)
                    done += len(chunk)
                    progress(target.name, done / total if total else 0.0)
            out.flush()
            if file_md5(temporary) != md5:
                raise MissingError(f"{url}: the downloaded file does not have the published MD5 {md5}")
            temporary.replace(target)
        except OSError as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise MissingError(
                f"data={name} cannot be downloaded: {reason}", f"Without a network, copy {url} to {target}"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive; its files cannot be written outside the folder."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise MissingError(f"{archive} cannot be unpacked: {error}", "Delete it and download it again") from error
