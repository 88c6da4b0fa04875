"""Large text sets of the hub: the head of the stream, kept as it comes, so that a run needs no network.

`get` streams documents in order and keeps them in shards of JSON lines until `text_bytes` are there; after each shard
the stream's own state is saved, so that an interrupted or a larger fetch goes on from there. A run takes the first
`text_bytes` of what is kept and tokenises them into the token cache: batch k never depends on a network. The amount is
in bytes of text, so that runs with different tokenizers see the same text. A document's own hash decides where it goes,
so that copies of it go the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from optbench.contracts import Seeds
from optbench.data.corpus import Corpus, by_hash
from optbench.data.download import Progress
from optbench.data.hub_stream import open_stream, reported, text_in
from optbench.data.tokens import PackedTokens, TextForm
from optbench.errors import MissingError, first_line

SHARD_BYTES = 32 << 20
STATE = "state.json"
HELD_OUT = ("validation", "test")


class HubText:
    """A text set of the hub; a subclass says what it is called here."""

    data_name: str

    def __init__(
        self,
        *,
        path: str,
        name: str | None,
        revision: str | None,
        column: str,
        text_bytes: int,
        validation: float,
        sequence_length: int,
        vocabulary: int,
        tokenizer: str | None,
    ) -> None:
        self.path, self.name, self.revision, self.column = path, name, revision, column
        self.text_bytes, self.validation = text_bytes, validation
        self.form = TextForm(sequence_length=sequence_length, vocabulary=vocabulary, tokenizer=tokenizer)

    def folder(self, root: Path) -> Path:
        """Where the shards lie."""
        words = [Path(self.path).name, self.name or "", self.revision or ""]
        return root / self.data_name / re.sub(r"[^\w.-]+", "_", "-".join(word for word in words if word))

    def locate(self, root: Path) -> Path | None:
        """The folder, if it holds enough."""
        return self.folder(root) if self._enough(read_state(self.folder(root))) else None

    def get(self, root: Path, progress: Progress) -> Path:
        """Fetch what is missing. What is there stays whatever happens."""
        import filelock

        folder = self.folder(root)
        if self.locate(root):
            return folder
        stream = open_stream(self.data_name, self.path, self.name, "train", self.revision)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock"):
                self._fetch(folder, stream, progress)
        except OSError as error:
            raise MissingError(f"data={self.data_name}: {folder} cannot be written: {first_line(error)}") from error
        return folder

    def verify(self, root: Path) -> list[str]:
        """Shards that differ from what was fetched; nothing is published to compare with."""
        folder = self._require(root)
        found = {shard["file"]: sha256_of(folder / shard["file"]) for shard in read_state(folder)["shards"]}
        return [
            f"{folder / shard['file']}: SHA-256 {found[shard['file']]}, fetched {shard['sha256']}"
            for shard in read_state(folder)["shards"]
            if found[shard["file"]] != shard["sha256"]
        ]

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> PackedTokens:
        """The samples of the first `text_bytes`."""
        return self.form.dataset(self.corpus(root), root, device, seeds)

    def corpus(self, root: Path) -> Corpus:
        """The first `text_bytes` of the documents, divided by their hashes."""
        folder = self._require(root)
        shards, total = [], 0
        for shard in read_state(folder)["shards"]:
            if total < self.text_bytes:
                shards.append(shard)
            total += shard["text_bytes"]
        rule = f"hub {min(self.text_bytes, total)} {self.validation}\n" + "\n".join(s["sha256"] for s in shards)

        def documents(split: str) -> Iterator[str]:
            kept = first_bytes(lines_of([folder / shard["file"] for shard in shards]), self.text_bytes)
            return (text for text in kept if by_hash(text, self.validation, HELD_OUT) == split)

        return Corpus(f"data={self.data_name}", hashlib.sha256(rule.encode()).hexdigest(), documents)

    def _require(self, root: Path) -> Path:
        folder = self.locate(root)
        if folder is None:
            held = read_state(self.folder(root))["text_bytes"]
            raise MissingError(
                f"data={self.data_name} is not here: {self.folder(root)} holds {held} of {self.text_bytes} bytes",
                f"Fetch it: optbench data get {self.data_name}   (data.text_bytes says how much)",
            )
        return folder

    def _enough(self, state: dict[str, Any]) -> bool:
        return bool(state["shards"]) and (state["ended"] or state["text_bytes"] >= self.text_bytes)

    def _fetch(self, folder: Path, stream: Any, progress: Progress) -> None:
        state = read_state(folder)
        with reported(self.data_name, self.path):
            if state["stream"] is not None:
                stream.load_state_dict(state["stream"])
            rows = iter(stream)
            while not self._enough(state) and not state["ended"]:
                missing = self.text_bytes - state["text_bytes"]
                name = f"{len(state['shards']):05d}.jsonl"
                shard, ended = write_shard(folder / name, self._texts(rows), min(SHARD_BYTES, missing))
                state["shards"] += [shard] if shard["documents"] else []
                state |= {"ended": ended, "stream": stream.state_dict()}
                state["text_bytes"] += shard["text_bytes"]
                replace_file(folder / STATE, lambda out, now=state: out.write(json.dumps(now).encode()))
                progress(self.data_name, min(1.0, state["text_bytes"] / self.text_bytes))

    def _texts(self, rows: Iterator[dict[str, Any]]) -> Iterator[str]:
        return (text_in(row, self.column, self.path) for row in rows)


class C4(HubText):
    """The Colossal Clean Crawled Corpus."""

    data_name = "c4"


class OpenWebText(HubText):
    """Pages that were linked from Reddit."""

    data_name = "openwebtext"


class FineWeb(HubText):
    """Filtered pages of Common Crawl."""

    data_name = "fineweb"


def read_state(folder: Path) -> dict[str, Any]:
    """How far the fetch has come. MissingError names a damaged file."""
    file = folder / STATE
    if not file.is_file():
        return {"shards": [], "text_bytes": 0, "ended": False, "stream": None}
    try:
        state = json.loads(file.read_text())
        return {key: state[key] for key in ("shards", "text_bytes", "ended", "stream")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingError(f"{file} is damaged", f"Delete {folder} and fetch the set again") from error


def write_shard(file: Path, texts: Iterator[str], least_bytes: int) -> tuple[dict[str, Any], bool]:
    """Write documents until `least_bytes` of text are there; what was written, and whether the stream has ended."""
    written = {"documents": 0, "text_bytes": 0}

    def write(out: Any) -> bool:
        for text in texts:
            out.write(json.dumps(text, ensure_ascii=False).encode() + b"\n")
            written["documents"] += 1
            written["text_bytes"] += len(text.encode())
            if written["text_bytes"] >= least_bytes:
                return False
        return True

    ended = replace_file(file, write)
    shard = {"file": file.name, "sha256": sha256_of(file), **written}
    if not written["documents"]:
        file.unlink()
    return shard, ended


def replace_file(file: Path, write: Callable[[Any], Any]) -> Any:
    """What `write(stream)` gives, its bytes put at `file` whole or not at all."""
    temporary = file.with_name(f".{file.name}.new")
    try:
        with open(temporary, "wb") as out:
            found = write(out)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return found


def lines_of(files: list[Path]) -> Iterator[str]:
    """The documents of the shards. MissingError names a damaged one."""
    for file in files:
        try:
            with open(file, encoding="utf-8", newline="\n") as stream:
                yield from (json.loads(line) for line in stream)
        except (OSError, ValueError) as error:
            raise MissingError(
                f"{file} is damaged: {first_line(error)}", f"Delete {file.parent} and fetch the set again"
            ) from error


def first_bytes(texts: Iterator[str], count: int) -> Iterator[str]:
    """Documents until `count` bytes of text are there."""
    for text in texts:
        if count <= 0:
            return
        yield text
        count -= len(text.encode())


def sha256_of(file: Path) -> str:
    """Hash of a file's content; "" where it is not there."""
    if not file.is_file():
        return ""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
