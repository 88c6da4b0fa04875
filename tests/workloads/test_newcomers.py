"""Newer rules and rules of matrices train mlp, vit and gpt to within a tenth of AdamW's loss at their own defaults.

FALLS_SHORT names the pairs that don't, with what was tried. A pair of the list that trains well enough fails.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from optbench import config
from optbench.sessions.session import execute

STEPS = {"mlp": 300, "vit": 300, "gpt": 150}
APOLLO_MINI = ("optimizer.rank=1", "optimizer.scale_type=tensor", "optimizer.scale=16")
"""At the scale that its authors take, a quarter of the model's width; that of vit is 64 here."""
NEWCOMERS: tuple[tuple[str, ...], ...] = (
    ("optimizer=mars",),
    ("optimizer=ademamix",),
    ("optimizer=came",),
    ("optimizer=dadapt_adam",),
    ("optimizer=stable_adamw",),
    ("optimizer=schedulefree_sgd",),
    ("optimizer=schedulefree_radam",),
    ("optimizer=spam",),
    ("optimizer=adamw", "cautious_decay=true"),
    ("optimizer=muon",),
    ("optimizer=normuon",),
    ("optimizer=soap",),
    ("optimizer=shampoo",),
    ("optimizer=psgd_kron",),
    ("optimizer=kfac",),
    ("optimizer=hyperball",),
    ("optimizer=hyperball", "optimizer.base=adam"),
    ("optimizer=scion",),
    ("optimizer=scion", "optimizer.constrained=false"),
    ("optimizer=dion",),
    ("optimizer=apollo",),
    ("optimizer=apollo", *APOLLO_MINI),
)
"""Overrides of each newer rule and each rule of matrices, for example ("optimizer=normuon",)."""
FALLS_SHORT: dict[tuple[str, str], str] = {
    ("optimizer=came", "vit"): "1.14 at its authors' learning rate; 1.18 at half of it, 1.19 at 0.7 times AdamW's",
    ("optimizer=dadapt_adam", "vit"): "1.42 with its estimated step size; 1.35 without warm-up, 1.49 from d0 = 1e-5",
    ("optimizer=schedulefree_sgd", "gpt"): "1.27: SGD without normalised gradients on a transformer",
    ("optimizer=schedulefree_radam", "mlp"): "1.13 at its authors' learning rate: it begins with four steps at rest",
    ("optimizer=dadapt_adam", "gpt"): "1.24 with its estimated step size",
    ("optimizer=kfac", "gpt"): "1.20 at its lr of 0.01, 1.10 at 0.03, 0.98 at 0.1",
    ("optimizer=hyperball+optimizer.base=adam", "vit"): "1.50 at its authors' learning rate; 0.72 at a fifth of it",
}
"""(overrides joined by +, model): the reason."""


@functools.cache
def loss_of(overrides: tuple[str, ...], model: str) -> float:
    """Return the validation loss after the run's whole schedule."""
    small = (f"steps={STEPS[model]}", "threads=1", "tracker=none")
    with tempfile.TemporaryDirectory() as folder:
        result = execute(config.load([f"model={model}", *small, *overrides]), Path(folder)).result
    assert result["status"] == "completed", result["reason"]
    return float(result["final"]["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("model", STEPS)
@pytest.mark.parametrize("overrides", NEWCOMERS, ids="+".join)
def test_a_newer_rule_trains_about_as_far_as_adamw(overrides: tuple[str, ...], model: str) -> None:
    ratio = loss_of(overrides, model) / loss_of(("optimizer=adamw",), model)
    assert (ratio > 1.1) == (("+".join(overrides), model) in FALLS_SHORT), f"{ratio:.3f} of AdamW's loss"
