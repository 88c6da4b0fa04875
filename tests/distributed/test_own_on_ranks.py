"""A model and data of the user's own on two ranks: the same weights as on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Call

FILES = """
import torch
from torch import nn

def load(size=300):
    x = torch.randn(size, 8, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()

class Net(nn.Module):
    def __init__(self, inputs, classes, width=16):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU())
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.body(x))
"""
WORDS = (
    "model=./mine.py:Net",
    "data=./mine.py:load",
    "optimizer=lion",
    "optimizer.lr=1e-3",
    "steps=12",
    "batch_size=32",
)
QUICK = ("threads=1", "device=cpu", "tracker=none", "eval_every=6")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_train_an_own_model_as_one_does(strategy: str, here: Path, call: Call) -> None:
    (here / "mine.py").write_text(FILES)

    def trained(*words: str) -> dict[str, float]:
        code, out, err = call("run", *WORDS, *QUICK, *words, "--json")
        assert code == 0, err
        return json.loads(out)["final"]

    one, two = trained("--study", "one"), trained("devices=2", f"strategy={strategy}", "--study", "two")
    assert json.loads(next(here.glob("results/two/*/run.json")).read_text())["ranks"] == 2
    assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-4)
    assert two["test_metric"] == one["test_metric"]
