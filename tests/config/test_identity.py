"""The identity of runs: an id on disk never changes, or stored results would be lost."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from optbench import config

STORED: dict[str, list[str]] = json.loads(Path(__file__).with_name("identities.json").read_text())  # [run_id, trial_id]


@pytest.mark.parametrize("overrides", STORED)
def test_ids_are_those_of_stored_results(overrides: str) -> None:
    loaded = config.load(shlex.split(overrides))
    assert [loaded.run_id, loaded.trial_id] == STORED[overrides]


@pytest.mark.parametrize(
    ("model", "name"), [("vit", "image_classification"), ("bert", "masked_lm"), ("gan", "image_generation")]
)
def test_task_names_are_short(model: str, name: str) -> None:
    assert config.load([f"model={model}"]).task_name == name


def test_every_model_has_stored_ids() -> None:
    named = {word for overrides in STORED for word in shlex.split(overrides)}
    assert {f"model={name}" for name in config.options(config.config_folders(None), "model")} <= named
