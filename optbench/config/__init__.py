"""From overrides to a RunConfig.

Hydra reads the overrides and composes the groups (`conf/GROUP/NAME.yaml`, the user's folder before the packaged one);
`hydra_api` alone imports it. Every mistake of a user is a ConfigError of at most three lines. A model names its default
data set (`about.data`); `conf/workload/MODEL-DATA.yaml`, if it exists, sets the budget that suits the pair.
"""

from optbench.config.composition import Composition, load
from optbench.config.dimensions import Dimension, dimension_of_spec
from optbench.config.files import config_folders, find_option, options, packaged_folder, read_yaml
from optbench.config.runconfig import GROUPS, Choice, RunConfig
from optbench.config.study_overrides import (
    SEARCHED,
    Axis,
    SweepOverrides,
    parse_sweep,
)
from optbench.config.trees import flatten
from optbench.config.values import as_typed
from optbench.config.variation import Variation

PLURALS = {
    "optimizers": "optimizer",
    "modifiers": "modifier",
    "models": "model",
    "data": "data",
    "tasks": "task",
    "schedules": "schedule",
    "clips": "clip",
    "protocols": "protocol",
}
"""The words of `optbench list`, and the groups that they list."""

__all__ = [
    "GROUPS",
    "PLURALS",
    "SEARCHED",
    "Axis",
    "Choice",
    "Composition",
    "Dimension",
    "RunConfig",
    "SweepOverrides",
    "Variation",
    "as_typed",
    "config_folders",
    "dimension_of_spec",
    "find_option",
    "flatten",
    "load",
    "options",
    "packaged_folder",
    "parse_sweep",
    "read_yaml",
]
