"""Reading of a torch.distributed.checkpoint folder without executing code from it.

torch's reader unpickles `.metadata`, and so calls whatever the file names. Here the pickle yields inert records, from
which the metadata are built; the tensors' files are read with `weights_only`, as torch's reader does."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from optbench.files import read_bytes

METADATA = ".metadata"


class CodeFreeReader(FileSystemReader):
    """torch's reader, without code from the metadata."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the metadata of the folder. Raises an error of some kind for damaged ones."""
        folder = Path(self.path)
        stored = fields(unpickle_inert(read_bytes(folder / METADATA, follow_links=False)))
        tensors = {str(key): tensor_metadata(fields(value)) for key, value in stored["state_dict_metadata"].items()}
        places = {
            chunk_index(fields(index)): storage_info(fields(place), folder)
            for index, place in stored["storage_data"].items()
        }
        meta = StorageMeta(load_id=self.load_id)
        return Metadata(tensors, storage_data=places, storage_meta=meta)  # type: ignore[arg-type]  # dict is invariant


def unpickle_inert(content: bytes) -> Any:
    """Return a pickled object with an inert record for every instance: its state, and no behaviour."""

    class Inert:
        def __init__(self, *arguments: Any) -> None:
            self.state: Any = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

    class Unpickler(pickle.Unpickler):
        def find_class(self, module_name: str, global_name: str) -> Any:
            if (module_name, global_name) == ("torch", "Size"):
                return tuple
            found = getattr(torch, global_name, None) if module_name == "torch" else None
            return found if isinstance(found, torch.dtype) else Inert

    return Unpickler(io.BytesIO(content)).load()


def fields(record: Any) -> Mapping[str, Any]:
    """Return the fields of an inert record. Raises ValueError if it has none."""
    state = getattr(record, "state", None)
    if not isinstance(state, dict):
        raise ValueError("its metadata are damaged")
    return state


def tensor_metadata(stored: Mapping[str, Any]) -> TensorStorageMetadata:
    """Return the metadata of a tensor and its chunks."""
    dtype = stored["properties"].state[0]
    chunks = [ChunkStorageMetadata(size_of(f["offsets"]), size_of(f["sizes"])) for f in map(fields, stored["chunks"])]
    return TensorStorageMetadata(TensorProperties(dtype), size_of(stored["size"]), chunks)


def chunk_index(stored: Mapping[str, Any]) -> MetadataIndex:
    """Return the key of a chunk."""
    offset = stored.get("offset")
    return MetadataIndex(str(stored["fqn"]), None if offset is None else size_of(offset), stored.get("index"))


def storage_info(stored: Mapping[str, Any], folder: Path) -> _StorageInfo:
    """Return the place of a chunk. Raises ValueError for one outside the folder."""
    file = folder / stored["relative_path"]
    if file.parent != folder or file.is_symlink() or not file.is_file():
        raise ValueError(f"its metadata name {stored['relative_path']!r}, which is no file of the checkpoint")
    return _StorageInfo(file.name, int(stored["offset"]), int(stored["length"]))


def size_of(numbers: Any) -> torch.Size:
    """Return a shape, or the offsets of a chunk."""
    return torch.Size(int(number) for number in numbers)
