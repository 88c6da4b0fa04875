"""A training step waits for nothing on the device, and an evaluation once, at its end. All of it runs on a simulated
CUDA device, so that a tensor left on the CPU is found too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from simulated_cuda import CUDA, Simulation, simulated_cuda, take_steps, trainer_on_cuda

from optbench import config
from optbench.contracts import Seeds
from optbench.data import tokens
from optbench.data.samples.assemble import sample_set
from optbench.data.sending import send
from optbench.training.evaluation import gather

MODELS = config.options([config.packaged_folder()], "model")
SMALL = ("batch_size=8", "eval_batch_size=32", "threads=1", "tracker=none")
SMALLER = {"resnet": ("model.width=8",), "unet": ("model.width=8",)}
AUGMENTED = [
    ("data.augment.crop_pad=2", "data.augment.flip=true", "data.augment.cutout=3"),
    ("data.augment.mixup=0.4",),
    ("data.augment.mixup=0.4", "data.augment.cutmix=1.0"),
]
CASES = [*((model, ()) for model in MODELS), ("mlp", ("data=diabetes",)), *(("vit", changes) for changes in AUGMENTED)]
CASES += [(model, ("micro_batch=3",)) for model in ("mlp", "gpt", "bert")]
HASHES = "its features of real images are known by the images' content"


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with simulated_cuda() as simulation:
        yield simulation


def settings(model: str, *overrides: str) -> config.RunConfig:
    return config.load([f"model={model}", *SMALL, *SMALLER.get(model, ()), *overrides])


def named(value: Any) -> str:
    return value if isinstance(value, str) else "+".join(value)


# -- a step ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp16", *(pytest.param(p, marks=pytest.mark.slow) for p in ("fp32", "bf16"))])
@pytest.mark.parametrize(("model", "overrides"), CASES, ids=named)
def test_a_step_waits_for_nothing(
    model: str, overrides: tuple[str, ...], precision: str, simulation: Simulation
) -> None:
    loaded = settings(model, "optimizer=adamw", "clip=global_norm", f"precision={precision}", *overrides)
    trainer, batches = trainer_on_cuda(loaded, simulation)
    simulation.waits.clear()  # of loading
    take_steps(trainer, batches, 3)
    assert simulation.waits == []
    for player in trainer.players.values():
        assert {tensor.device for tensor in (*player.parameters, player.loss_sum, player.clip_sums)} == {CUDA}
        assert all(parameter.grad is not None for parameter in player.parameters)


@pytest.mark.parametrize("optimizer", ["sam", "sophia_g", "sophia_h", "adahessian"])
def test_further_evaluations_of_the_batch_wait_for_nothing(optimizer: str, simulation: Simulation) -> None:
    """Of text, whose number of targets only the device knows."""
    trainer, batches = trainer_on_cuda(settings("bert", f"optimizer={optimizer}"), simulation)
    simulation.waits.clear()
    take_steps(trainer, batches, 2)
    assert simulation.waits == []
    assert trainer.players["model"].gradient_evaluations > 2


def test_an_epoch_ends_without_a_wait(simulation: Simulation) -> None:
    trainer, batches = trainer_on_cuda(settings("mlp", "batch_size=500"), simulation)
    simulation.waits.clear()
    take_steps(trainer, batches, 6)  # of 1167 samples
    assert simulation.waits == []


def test_the_simulation_finds_waits(simulation: Simulation) -> None:
    host, far = torch.arange(6.0), torch.ones(6, device="cuda")
    _ = far + send(host, CUDA), far + host.pin_memory().to("cuda", non_blocking=True)
    assert simulation.waits == []
    for wait in (
        lambda: host.to("cuda"),
        lambda: host.to("cuda", non_blocking=True),  # from pageable memory
        lambda: far.cpu(),
        lambda: far[torch.arange(3)],  # the index is copied
        lambda: far.copy_(host),
    ):
        simulation.waits.clear()
        wait()
        assert len(simulation.waits) == 1
    for refused in (lambda: far.sum().item(), lambda: far[far > 0], lambda: far + host, lambda: float(far[0])):
        with pytest.raises(Exception, match=r"aten|device"):
            refused()


# -- data --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_device", [True, False])
def test_batches_of_text_wait_for_nothing(
    on_device: bool, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not on_device:
        monkeypatch.setattr(tokens, "DEVICE_LIMIT_BYTES", 0)
    trainer, batches = trainer_on_cuda(settings("gpt"), simulation)
    simulation.waits.clear()
    take_steps(trainer, batches, 3)
    assert all(batch["tokens"].device == CUDA for batch in trainer.data.eval_batches("validation", 32))
    assert simulation.waits == []


IMAGES = np.random.default_rng(0).integers(0, 256, (60, 3, 4, 4), dtype=np.uint8)
OWN = {
    "numbers": (np.ones((60, 5), np.float32), np.arange(60) % 3),
    "shifted": (np.ones((60, 5), np.float32), np.arange(60) % 3 * 10 + 5),
    "texts": (np.ones((60, 5), np.float32), [f"class {n % 3}" for n in range(60)]),
    "images": (IMAGES, np.arange(60) % 3),
    "images with texts": (IMAGES, [f"class {n % 3}" for n in range(60)]),
}


@pytest.mark.parametrize("limits", [{}, {"FLOAT_BYTES": 0}, {"DEVICE_BYTES": 0}], ids=str)
@pytest.mark.parametrize("kind", OWN)
def test_batches_of_own_samples_wait_for_nothing(
    kind: str, limits: dict[str, int], simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(f"optbench.data.samples.assemble.{name}", value)
    inputs, labels = OWN[kind]
    given = {"kind_of_label": "classes", "validation": 0.2, "test": 0.2, "inputs": None, "labels": None}
    data = sample_set("the samples", {"train": (inputs, labels)}, given, Seeds(init=1, order=2, augment=3), CUDA)
    simulation.waits.clear()
    stream = data.train_batches(8)
    for batch in [*(next(stream) for _ in range(9)), *data.eval_batches("train", 8, 20)]:
        assert {tensor.device for tensor in batch.values()} == {CUDA}
    assert simulation.waits == []


# -- evaluation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_an_evaluation_waits_once(model: str, simulation: Simulation) -> None:
    trainer, _ = trainer_on_cuda(settings(model, "precision=bf16"), simulation)
    evaluator = trainer.evaluator
    if hasattr(trainer.task, "features_of_real"):
        trainer.task.features_of_real = trainer.task.features  # pyright: ignore[reportAttributeAccessIssue]  # see HASHES
    simulation.waits.clear()
    with evaluator._eval_mode():
        gathered = gather(map(trainer.task.evaluate, islice(trainer.data.eval_batches("test", 32), 2)))
    assert [wait.partition(" ")[0] for wait in simulation.waits] == ["_to_copy"]
    assert gathered["loss"].device.type == "cpu"


def test_refreshed_batch_statistics_wait_for_nothing(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optbench.training.evaluation.REFRESH_BATCHES", 2)
    trainer, _ = trainer_on_cuda(settings("resnet", "ema=true"), simulation)
    simulation.waits.clear()
    trainer.evaluator._refresh_statistics(trainer.modules[0])
    assert simulation.waits == []
