"""Hydra and OmegaConf behind typed functions. Only this file imports them: they take 0.3 s and have no types."""
# pyright: basic

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optbench.config.trees import Node
from optbench.config.yaml_reader import parse_yaml, yaml_text

LOCK = threading.Lock()  # Hydra keeps its state in a process-wide singleton


@functools.cache
def checked_files() -> type[Any]:
    """Return the class that reads files for Hydra: those of the user's folder go through `load_yaml` as well."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra.plugins.config_source import ConfigResult, ConfigSource
    from omegaconf import OmegaConf

    class CheckedFiles(FileConfigSource):
        @staticmethod
        def scheme() -> str:
            return "optbench"

        def load_config(self, config_path: str) -> ConfigResult:
            file = Path(self.path, self._normalize_file_name(config_path))
            text = yaml_text(file)
            tree: Any = parse_yaml(text, file)
            header = ConfigSource._get_header_dict(text[:512])
            return ConfigResult(config=OmegaConf.create(tree), path=str(self), provider=self.provider, header=header)

    return CheckedFiles


def compose(root: Path, folders: Sequence[Path], choices: Sequence[tuple[str, str]]) -> Node:
    """Return root/run.yaml composed with a file for each (group, name), looked for in `folders`, as plain data."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    quoted = (f"optbench://{folder}".replace("\\", "\\\\").replace("'", "\\'") for folder in folders)
    path = ",".join(f"'{text}'" for text in quoted)
    overrides = [f"hydra.searchpath=[{path}]", *(f"{group}={name}" for group, name in choices)]
    with LOCK:
        GlobalHydra.instance().clear()
        SourcesRegistry.instance().register(checked_files())
        with initialize_config_dir(str(root), version_base="1.3"):
            config = compose("run", overrides=overrides)
    return OmegaConf.to_container(config, resolve=False)  # type: ignore[return-value]


class ParsedOverride:
    """An override in Hydra's grammar. Reading its value may raise any exception."""

    def __init__(self, text: str) -> None:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        self._override = OverridesParser.create().parse_override(text)
        key = self._override.key_or_group if self._override.package is None else None
        self.key = (key or "").replace("/", ".")
        self.is_sweep = self._override.is_sweep_override()
        self.is_interval = self._override.is_interval_sweep()

    @property
    def value(self) -> object:
        """The one value of an override that is no sweep."""
        return unquoted(self._override.value())

    @property
    def tags(self) -> set[str]:
        """The tags of a sweep: tag(log, interval(1, 2)) has `log`."""
        return set(getattr(self._override.value(), "tags", ()))

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds of an interval, each an int or a float as written."""
        interval: Any = self._override.value()
        return interval.start, interval.end

    @property
    def count(self) -> float:
        """The number of values of a choice or a range, without listing them; nan for a range that has none."""
        from hydra.core.override_parser.types import RangeSweep

        sweep: Any = self._override.value()
        if not isinstance(sweep, RangeSweep):
            return float(len(sweep.list))
        start, stop, step = (float(value or 0) for value in (sweep.start, sweep.stop, sweep.step))
        return (stop - start) / step if step else math.nan

    @property
    def is_glob(self) -> bool:
        """True for a pattern of names."""
        from hydra.core.override_parser.types import Glob

        return isinstance(self._override.value(), Glob)

    def matching(self, names: Sequence[str]) -> list[str]:
        """Return the names that match the pattern."""
        pattern: Any = self._override.value()
        return list(pattern.filter(list(names)))

    def values(self) -> list[object]:
        """Return the values of a choice or a range."""
        return [unquoted(value) for value in self._override.sweep_iterator()]

    def texts(self) -> list[str]:
        """Return the values as typed; Hydra has True for YAML's true."""
        return [{"True": "true", "False": "false"}.get(text, text) for text in self._override.sweep_string_iterator()]


def unquoted(value: Any) -> Any:
    """Return Hydra's quoted strings as plain text, inside lists and mappings too."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, dict):
        return {str(unquoted(key)): unquoted(item) for key, item in value.items()}
    return value
