"""Files of published data sets: where they lie, whether they are the published ones, and how to get them."""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from optbench.errors import MissingError

CHUNK_BYTES = 1 << 20
CONNECT_SECONDS = 20
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Published:
    """A published set of files: its name here, the folder below the data folder, and the MD5 of each file."""

    name: str
    folder: str
    md5: Mapping[str, str]

    def locate(self, root: Path) -> Path | None:
        """The folder that holds every file, or None."""
        folder = root / self.folder
        return folder if all((folder / file).is_file() for file in self.md5) else None

    def differences(self, folder: Path) -> list[str]:
        """Files whose content is not the published one."""
        return [
            f"{folder / file}: MD5 {found}, published {md5}"
            for file, md5 in self.md5.items()
            if (found := file_md5(folder / file)) != md5
        ]

    def require(self, root: Path) -> Path:
        """The folder, or MissingError with what would help."""
        folder = self.locate(root)
        if folder is None:
            raise MissingError(
                f"data={self.name} is not here: {root / self.folder} lacks {self._lacking(root)}",
                f"Fetch it: optbench data get {self.name}   (or put its files there)",
            )
        return folder

    def _lacking(self, root: Path) -> str:
        return ", ".join(file for file in self.md5 if not (root / self.folder / file).is_file())

    def checked(self, folder: Path, verify: str) -> bool:
        """Whether the content is the published one. MissingError where it is not, unless `verify` is "off"."""
        found = self.differences(folder)
        if found and verify != "off":
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise MissingError(
                f"data={self.name} is not the published set: {found[0]}{more}",
                "data.verify=off accepts it and marks every result",
            )
        return not found


def file_md5(file: Path) -> str:
    """MD5 of a file's content."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def download(url: str, target: Path, md5: str, progress: Progress, *, name: str) -> None:
    """Fetch a file, whole or not at all. Raises MissingError without a network or where the content differs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as out:
        temporary = Path(out.name)
        try:
            with urllib.request.urlopen(url, timeout=CONNECT_SECONDS) as response:
                total, done = int(response.headers.get("Content-Length") or 0), 0
                while chunk := response.read(CHUNK_BYTES):
                    out.write(chunk)
                    done += len(chunk)
                    progress(target.name, done / total if total else 0.0)
            out.flush()
            if file_md5(temporary) != md5:
                raise MissingError(f"{url} gave a file with another MD5 than the published {md5}")
            temporary.replace(target)
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise MissingError(
                f"data={name} cannot be fetched: {reason}", f"Without a network: bring {url} and put it at {target}"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive; nothing in it may leave the folder."""
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise MissingError(f"{archive} cannot be unpacked: {error}", "Delete it and fetch it again") from error
