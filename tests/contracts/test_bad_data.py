"""Every fault in a user's data set is one error that names it, and nothing but that."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from optbench import config
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.sessions.assemble import load_data
from optbench.training.seeding import seeds_of

FILE = Path(__file__).parent / "bad_data.py"
FAULTS = imports.load(f"{FILE}:FAULTS")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_error_that_names_it(fault: str) -> None:
    loaded = config.load(["model=mlp", f"data={FILE}:bad_{fault}", "threads=1"])
    with pytest.raises(ConfigError, match=FAULTS[fault][1]) as caught:
        load_data(loaded, torch.device("cpu"), seeds_of(0))
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith(f"data={FILE}:bad_{fault}")
    assert "\n" not in caught.value.message
