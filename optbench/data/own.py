"""A data set of the user's own: a function, given by its import path, that returns its splits.

The function may return (train, validation, test), two of them, or one, also by name; what is missing is cut from the
training samples. Each split is a torch Dataset, a pair (inputs, labels) of tensors or arrays, a datasets.Dataset, an
iterable of batches or samples, or text. All content is hashed, unless the user names its version."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from optbench.config import imports
from optbench.config.own_optimizer import is_plain
from optbench.config.sources import source_sha256
from optbench.config.trees import Node, is_list
from optbench.config.user_code import user_error
from optbench.contracts import DataSet, Progress, Seeds
from optbench.data.own_text import OwnText
from optbench.data.samples.assemble import sample_set
from optbench.data.samples.generators import kept_generators, seed_generators
from optbench.data.samples.named_splits import named_splits
from optbench.data.samples.values import is_texts
from optbench.data.splits import SPLIT_SEED
from optbench.errors import ConfigError

SETTINGS: Mapping[str, Any] = {
    "validation": 0.1,  # share or number of the training samples for a validation split that isn't given
    "test": 0.1,  # likewise, of the test split
    "version": None,  # text that names the content: it replaces its hash
    "inputs": None,  # name of the column with the inputs; null: found
    "labels": None,  # likewise, of the labels
    "kind_of_label": "auto",  # auto | classes | numbers
    "workers": 0,  # processes that read samples which are not kept in memory
    "sequence_length": 128,  # of text: tokens per sample
    "vocabulary": 8192,  # of text: pieces of the byte-level BPE trained on it
    "tokenizer": None,  # of text: a vocabulary file, or a folder with one; null: train one
}
"""What can be set for every function, unless it has a parameter of this name."""
VALID = {
    "validation": "(0, 1) | int [1, inf)",
    "test": "(0, 1) | int [1, inf)",
    "version": "null | str",
    "inputs": "null | str",
    "labels": "null | str",
    "kind_of_label": "auto | classes | numbers",
    "workers": "int [0, 256]",
    "sequence_length": "int [2, 1000000]",
    "vocabulary": "int [259, 1000000]",
    "tokenizer": "null | str",
}
QUICK_SECONDS = 0.25  # a function that takes less is called twice, to see that it returns the same


def describe(path: str) -> Node:
    """Return the configuration node of a function: its parameters with their defaults, and SETTINGS."""
    target = imports.load(path)
    parameters = parameters_of(path, target)
    settings = {n: list(p.default) if is_list(p.default) else p.default for n, p in parameters.items() if has_plain(p)}
    required = {n: "???" for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    own = {**settings, **required}
    about = {
        "target": path,
        "name": path.replace(":", ".").rsplit(".", 1)[1],
        "task": "supervised",
    }
    shipped = None if source_sha256(path) else imports.shipped_sha256(target)
    ours = {} if is_source(target) else SETTINGS
    valid = {key: spec for key, spec in VALID.items() if key in ours and key not in own}
    return {**ours, **own, "about": {**about, "valid": valid} | ({"source_sha256": shipped} if shipped else {})}


def is_source(target: object) -> bool:
    """Return True for the class of a contracts.DataSource, which is called with its settings and then loads."""
    return isinstance(target, type) and hasattr(target, "load")


def has_plain(parameter: inspect.Parameter) -> bool:
    """Return True for a parameter with a default that YAML can hold."""
    return parameter.default is not inspect.Parameter.empty and is_plain(parameter.default)


def parameters_of(path: str, target: object) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function that can be set by name. Raises ConfigError for what cannot be called."""
    if not callable(target):
        raise ConfigError(
            f"{path} is of type {type(target).__name__}, which cannot be called", "Name a function that returns splits"
        )
    try:
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} has no readable signature: {error}") from None
    unnamed = [p.name for p in found if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    if unnamed:
        raise ConfigError(f"{path} takes {unnamed[0]} by its place only", "Let it be set by name: remove the '/'")
    return {p.name: p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


class OwnData:
    """The source of a function's samples."""

    def __init__(self, path: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
        self.where, self.function = f"data={path}", function
        parameters = parameters_of(path, function)
        takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
        self.arguments = {k: v for k, v in settings.items() if k in parameters or (takes_any and k not in SETTINGS)}
        unknown = [key for key in settings if key not in self.arguments and key not in SETTINGS]
        if unknown:
            raise ConfigError(f"{path} has no parameter '{unknown[0]}'", f"It takes {', '.join(parameters) or 'none'}")
        self.settings = {**SETTINGS, **settings}

    @property
    def may_change(self) -> bool:
        """True if only loading shows whether the content is what it was: the user names no version of it."""
        return self.settings["version"] is None

    def locate(self, root: Path) -> Path:
        """Return the file of the function."""
        return Path(inspect.getsourcefile(inspect.unwrap(self.function)) or ".")

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the file of the function; it alone knows what it downloads."""
        return self.locate(root)

    def verify(self, root: Path) -> None:
        """Return None: no checksums are published."""

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """Call the function and return its samples as batches."""
        began = time.monotonic()
        result = self._called()
        if hasattr(result, "load") and hasattr(result, "locate"):
            return result.load(root, device, seeds)
        found = self._dataset(result, root, device, seeds)
        if self.may_change and time.monotonic() - began < QUICK_SECONDS:
            again = self._dataset(self._called(), root, torch.device("cpu"), seeds)
            if again.sha256 != found.sha256:
                raise ConfigError(
                    f"{self.where} returns other samples each time it is called",
                    "Seed what it draws, e.g. numpy.random.default_rng(0), or read the samples from a file",
                )
        return found

    def _called(self) -> Any:
        """Return what the function returns, with seeded generators."""
        with kept_generators():
            seed_generators(SPLIT_SEED)
            try:
                return self.function(**self.arguments)
            except (Exception, SystemExit) as error:
                raise user_error(f"{self.where} raised an error", error) from error

    def _dataset(self, result: Any, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        splits = named_splits(self.where, result)
        if all(map(is_texts, splits.values())):
            documents = {split: [text] if isinstance(text, str) else list(text) for split, text in splits.items()}
            keys = ("sequence_length", "vocabulary", "tokenizer", "validation")
            text = OwnText(where=self.where, documents=documents, **{key: self.settings[key] for key in keys})
            return text.load(root, device, seeds)
        return sample_set(self.where, splits, self.settings, seeds, device)
