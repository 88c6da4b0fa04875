"""The hand-written loops of `optbench bench loop` train the same model with the same steps as ours."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from optbench import config
from optbench.benches.bare import bare_loop
from optbench.errors import ConfigError
from optbench.sessions.assemble import assemble

MODELS = config.options([config.packaged_folder()], "model")
STEPS = 3


def settings(model: str) -> list[str]:
    return [f"model={model}", "batch_size=4", f"steps={STEPS}", "threads=1", "optimizer=sgd", "optimizer.lr=1e-3"]


def trained(model: str, ours: bool) -> dict[str, torch.Tensor]:
    loaded = config.load(settings(model))
    objects = assemble(loaded)
    if ours:
        trainer = objects.trainer
        for batch in itertools.islice(objects.data.train_batches(4), STEPS):
            for module in trainer.modules:
                module.train()
            trainer.take_turns(batch, recording=False)
            trainer.progress.step += 1
    else:
        list(itertools.islice(bare_loop(objects, loaded), STEPS))
    return {
        f"{name}.{key}": tensor.detach()
        for name, module in objects.task.players.items()
        for key, tensor in module.state_dict().items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_both_loops_reach_the_same_weights(model: str) -> None:
    bare, ours = trained(model, ours=False), trained(model, ours=True)
    assert bare.keys() == ours.keys()
    several = len({name.split(".")[0] for name in ours}) > 1
    for name, tensor in ours.items():
        assert tensor.isfinite().all()
        if not several:  # several players draw their noise in another order
            torch.testing.assert_close(bare[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_an_optimizer_that_needs_more_than_gradients_is_refused() -> None:
    loaded: Any = config.load(["model=mlp", "optimizer=sam", "steps=3"])
    with pytest.raises(ConfigError, match="sam needs more than gradients"):
        bare_loop(assemble(loaded), loaded)


@pytest.mark.parametrize("words", [["model=mlp", "clip=agc"], ["model=dcgan", "clip=global_norm"]])
def test_clips_that_the_bare_loop_lacks_are_refused(words: list[str]) -> None:
    loaded: Any = config.load([*words, "optimizer=sgd", "steps=3"])
    with pytest.raises(ConfigError, match=f"the bare loop does not have {words[1]}"):
        bare_loop(assemble(loaded), loaded)
