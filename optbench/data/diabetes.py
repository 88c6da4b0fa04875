"""Diabetes: ten measurements of 442 patients, and the disease's progression a year later; from scikit-learn's files."""

from __future__ import annotations

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from optbench.data.samples.labels import NUMBERS
from optbench.data.table import Rows, TableSource
from optbench.errors import MissingError

FILES = ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz")
COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


@dataclass(frozen=True, kw_only=True)
class Diabetes(TableSource):
    """The embedded table."""

    validation: float
    test: float

    @property
    def where(self) -> str:
        """The data set in messages."""
        return "data=diabetes"

    def locate(self, root: Path) -> Path:
        """Return scikit-learn's own folder, without importing the package, which takes more than a second."""
        package = importlib.util.find_spec("sklearn")
        if package is None or not package.submodule_search_locations:
            raise MissingError("data=diabetes needs the package scikit-learn", "pip install scikit-learn")
        return Path(package.submodule_search_locations[0]) / "datasets" / "data"

    def rows(self, root: Path) -> Rows:
        """Return the patients."""
        import polars

        folder = self.locate(root)
        texts = (gzip.decompress((folder / name).read_bytes()).decode() for name in FILES)
        values, target = (np.loadtxt(text.splitlines()) for text in texts)
        features = polars.DataFrame(dict(zip(COLUMNS, values.T, strict=True)))
        return Rows(features, torch.from_numpy(target), NUMBERS, told=False)
