"""One tolerant reader: whatever a path points to, the answer is its content, OSError or ValueError, at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from optbench import files
from optbench.errors import StorageError
from optbench.files import parse_json, read_bytes, read_json_file
from optbench.store import read_json

MADE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: None, "No such file"),
    "directory": (lambda path: path.mkdir(), "directory"),
    "fifo": (lambda path: os.mkfifo(path), "Not a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "Not a regular file"),
    "link loop": (lambda path: path.symlink_to(path), "symbolic links"),
    "large": (lambda path: path.write_bytes(b"1" * 1001), "Larger than"),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file whose size the system does not know")
def test_a_file_is_read_whole_though_its_size_is_said_to_be_zero() -> None:
    file = Path("/proc/self/status")
    assert file.stat().st_size == 0
    assert b"VmRSS" in read_bytes(file)
    with pytest.raises(OSError, match="Larger than"):
        read_bytes(file, limit=100)


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_regular_file_of_bounded_size_is_an_os_error(kind: str, tmp_path: Path) -> None:
    make, words = MADE[kind]
    make(tmp_path / "file.json")
    with pytest.raises(OSError, match=words):
        read_bytes(tmp_path / "file.json", limit=1000)


def test_a_link_is_followed_only_where_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bytes(tmp_path / "link") == b"content"
    with pytest.raises(OSError, match="symbolic links"):
        read_bytes(tmp_path / "link", follow_links=False)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "a\0b")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000])
def test_damaged_json_is_a_value_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        parse_json(content)
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(ValueError):
        read_json_file(tmp_path / "file.json")
    assert read_json(tmp_path / "file.json") is None


def test_the_store_names_a_document_that_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    with pytest.raises(StorageError, match=r"result\.json: cannot be read: Not a regular file"):
        read_json(tmp_path / "result.json")


@pytest.mark.parametrize("path", ["~nosuchuser", "~nosuchuser/data", "~a\0b", "plain"])
def test_a_home_folder_that_is_not_there_is_left_as_typed(path: str) -> None:
    assert files.expanded(path) == Path(path)


def test_paths_are_expanded_in_one_place() -> None:
    """Path.expanduser raises RuntimeError for `~nosuchuser`."""
    package = Path(files.__file__).parent
    found = [file.name for file in package.rglob("*.py") if ".expanduser(" in file.read_text(encoding="utf-8")]
    assert found == ["files.py"]
