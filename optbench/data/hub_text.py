"""Large text data sets of the Hugging Face hub: the first `text_bytes` of the stream, stored so that runs need no
network.

`get` streams documents in order into shards (hub_shards.py). A run tokenises the first `text_bytes` into the token
cache. The amount is in bytes of text, so that runs with different tokenizers see the same text. A document's own hash
assigns it to a split, so that its copies go to the same split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from optbench.contracts import Progress
from optbench.data.corpus import HELD_OUT, Corpus, split_by_hash
from optbench.data.hub_shards import (
    DownloadState,
    Shard,
    documents_of,
    file_sha256,
    first_bytes,
    read_state,
    write_shard,
    write_state,
)
from optbench.data.hub_stream import download_errors, local_mark, open_stream, text_column
from optbench.data.text_source import TextSource
from optbench.errors import MissingError, first_line

if TYPE_CHECKING:
    from datasets import IterableDataset

SHARD_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class HubText(TextSource):
    """A text data set of the hub."""

    data_name: ClassVar[str]
    """The name of its file in conf/data/."""

    path: str
    name: str | None
    revision: str | None
    column: str
    text_bytes: int
    validation: float

    def folder(self, root: Path) -> Path:
        """Return the folder of the shards."""
        words = [Path(self.path).name, local_mark(self.path), self.name or "", self.revision or ""]
        return root / self.data_name / re.sub(r"[^\w.-]+", "_", "-".join(word for word in words if word))

    def locate(self, root: Path) -> Path | None:
        """Return the folder if it has enough text."""
        return self.folder(root) if self._enough(read_state(self.folder(root))) else None

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the missing text. Text on disk is never lost, even if this fails."""
        import filelock

        folder = self.folder(root)
        if self.locate(root):
            return folder
        stream = open_stream(self.data_name, self.path, self.name, "train", self.revision)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".lock"):
                self._download(folder, stream, progress)
        except OSError as error:
            raise MissingError(f"data={self.data_name}: {folder} cannot be written: {first_line(error)}") from error
        return folder

    def verify(self, root: Path) -> list[str]:
        """Return the shards that changed since the download; no checksums are published."""
        folder = self.require(root)
        found = {shard["file"]: file_sha256(folder / shard["file"]) for shard in read_state(folder)["shards"]}
        return [
            f"{folder / shard['file']}: SHA-256 {found[shard['file']]}, downloaded {shard['sha256']}"
            for shard in read_state(folder)["shards"]
            if found[shard["file"]] != shard["sha256"]
        ]

    def corpus(self, root: Path) -> Corpus:
        """Return the first `text_bytes` of the documents, assigned to splits by their hashes."""
        folder = self.require(root)
        shards: list[Shard] = []
        total = 0
        for shard in read_state(folder)["shards"]:
            if total < self.text_bytes:
                shards.append(shard)
            total += shard["text_bytes"]
        rule = f"hub {min(self.text_bytes, total)} {self.validation}\n" + "\n".join(s["sha256"] for s in shards)

        def documents(split: str) -> Iterator[str]:
            kept = first_bytes(documents_of([folder / shard["file"] for shard in shards]), self.text_bytes)
            return (text for text in kept if split_by_hash(text, self.validation, HELD_OUT) == split)

        return Corpus(f"data={self.data_name}", hashlib.sha256(rule.encode()).hexdigest(), documents)

    def missing(self, root: Path) -> MissingError:
        """Describe how much text is missing."""
        folder = self.folder(root)
        found = read_state(folder)["text_bytes"]
        return MissingError(
            f"data={self.data_name} is incomplete: {folder} has {found} of {self.text_bytes} bytes",
            f"Run: optbench data get {self.data_name}   (data.text_bytes sets the amount)",
        )

    def _enough(self, state: DownloadState) -> bool:
        return bool(state["shards"]) and (state["ended"] or state["text_bytes"] >= self.text_bytes)

    def _download(self, folder: Path, stream: IterableDataset, progress: Progress) -> None:
        state = read_state(folder)
        with download_errors(self.data_name, self.path):
            if state["stream"] is not None:
                stream.load_state_dict(state["stream"])
            texts = self._texts(iter(stream))
            while not self._enough(state) and not state["ended"]:
                missing = self.text_bytes - state["text_bytes"]
                file = folder / f"{len(state['shards']):05d}.jsonl"
                shard, ended = write_shard(file, texts, min(SHARD_BYTES, missing))
                state["shards"] += [shard] if shard["documents"] else []
                state["ended"], state["stream"] = ended, stream.state_dict()
                state["text_bytes"] += shard["text_bytes"]
                write_state(folder, state)
                progress(self.data_name, min(1.0, state["text_bytes"] / self.text_bytes))

    def _texts(self, rows: Iterator[Mapping[str, object]]) -> Iterator[str]:
        return (text_column(row, self.column, self.path) for row in rows)


class C4(HubText):
    """The Colossal Clean Crawled Corpus."""

    data_name = "c4"


class OpenWebText(HubText):
    """Web pages linked from Reddit."""

    data_name = "openwebtext"


class FineWeb(HubText):
    """Filtered pages of Common Crawl."""

    data_name = "fineweb"
