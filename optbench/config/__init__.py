"""From overrides to a RunConfig: the only part that knows Hydra.

Hydra reads the override grammar and composes the groups (`conf/GROUP/NAME.yaml`, the user's folder before the packaged
one). Everything a user can get wrong is checked here, against the YAML files themselves, and answered with one
ConfigError of at most three lines. A model names its default data set (`about.data`); `conf/workload/MODEL-DATA.yaml`,
where there is one, sets the budget that suits the pair.
"""

from optbench.config.composition import Composition, load
from optbench.config.files import config_folders, find_option, options, packaged_folder, read_yaml
from optbench.config.runconfig import GROUPS, Choice, RunConfig, without_null
from optbench.config.schema import flatten
from optbench.config.study_overrides import (
    SEARCHED,
    Axis,
    Dimension,
    SweepOverrides,
    boxes_of,
    dimension_of_spec,
    parse_sweep,
)
from optbench.config.values import as_typed
from optbench.config.variation import Variation

PLURALS = {
    "optimizers": "optimizer",
    "modifiers": "modifier",
    "models": "model",
    "data": "data",
    "schedules": "schedule",
    "clips": "clip",
    "protocols": "protocol",
}

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
    "boxes_of",
    "config_folders",
    "dimension_of_spec",
    "find_option",
    "flatten",
    "load",
    "options",
    "packaged_folder",
    "parse_sweep",
    "read_yaml",
    "without_null",
]
