"""Flow matching: noise, times and velocities, the trivial answer, generated images, whole runs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import rows_of
from torch import Tensor, nn

from optbench import config
from optbench.contracts import Seeds
from optbench.records import COLUMNS
from optbench.sessions.assemble import assemble
from optbench.sessions.session import execute
from optbench.tasks.generative.diffusion import FlowMatching
from optbench.training.evaluation import gather

SMALL = ("model=unet", "optimizer=adamw", "tracker=none", "threads=1", "device=cpu", "batch_size=32", "model.width=8")


class Toward(nn.Module):
    """The exact velocity toward one image: straight from wherever a noisy image is."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = nn.Parameter(image)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        return (self.image - x) / (1 - times)[:, None, None, None]


def held(images: Tensor) -> Any:
    """Return a data set with the same images, on the scale of normalised ones, in every split."""

    def eval_batches(split: str, batch_size: int, limit: int | None = None) -> Any:
        for part in torch.arange(len(images)).split(batch_size):
            yield {"inputs": images[part], "index": part}

    one = torch.ones(images.shape[1], 1, 1)
    return SimpleNamespace(sample_shape=tuple(images.shape[1:]), mean=one / 2, std=one / 2, eval_batches=eval_batches)


def task_of(model: nn.Module, data: Any, **settings: Any) -> FlowMatching:
    given = {"times": "uniform", "eval_times": 4, "features": None, "features_path": None} | settings
    return FlowMatching(model, data, Seeds(1, 2, 3), **given)


def scored(task: FlowMatching, batch_size: int) -> dict[str, float]:
    with torch.no_grad():
        return task.score(gather(task.evaluate(batch) for batch in task.data.eval_batches("test", batch_size)))


@pytest.mark.parametrize(("times", "middle"), [("uniform", 0.4621), ("logit_normal", 0.6827)])
def test_a_turn_mixes_images_with_normal_noise_at_its_times(times: str, middle: float) -> None:
    """Of logit-normal times 68.27 % lie in (sigmoid(-1), sigmoid(1)), of uniform ones its width of 46.21 %."""
    images = torch.rand(20_000, 1, 2, 3)
    task = task_of(Toward(torch.zeros(1, 2, 3)), held(images), times=times)
    (turn,) = task.turns({"inputs": images}, 5)
    (other,) = task.turns({"inputs": images}, 6)
    noisy, velocity, t = (turn.batch[name] for name in ("inputs", "velocity", "times"))
    at = t[:, None, None, None]
    noise = noisy - at * velocity
    assert torch.allclose(noisy + (1 - at) * velocity, images, atol=1e-5)
    assert noise.mean().abs() < 0.02
    assert noise.var() == pytest.approx(1, abs=0.02)
    assert abs(float(torch.corrcoef(noise.flatten(1).T)[0, 1])) < 0.03
    share = ((t > torch.tensor(-1.0).sigmoid()) & (t < torch.tensor(1.0).sigmoid())).double().mean()
    assert share == pytest.approx(middle, abs=0.015)
    assert not torch.equal(turn.batch["times"], other.batch["times"])
    (few,) = task.turns({"inputs": images[:7]}, 5)
    assert all(torch.equal(few.batch[name], turn.batch[name][:7]) for name in few.batch)
    parts = [turn.loss({name: part[at] for name, part in turn.batch.items()}) for at in (slice(0, 9), slice(9, None))]
    whole, count = turn.loss(turn.batch)
    assert sum(part.item() for part, _ in parts) == pytest.approx(whole.item(), rel=1e-4)
    assert sum(part for _, part in parts) == count == images.numel()


def test_the_exact_velocity_has_no_error_and_generates_the_image() -> None:
    image = torch.tensor([[[-1.0, -0.5], [0.25, 1.0]]])
    task = task_of(Toward(image), held(image.expand(50, 1, 2, 2)))
    (turn,) = task.turns({"inputs": image.expand(50, 1, 2, 2)}, 0)
    total, count = turn.loss(turn.batch)
    assert count == 200
    assert total.item() / 200 < 1e-6
    assert scored(task, 50)["metric"] < 1e-6
    with torch.no_grad():
        generated = task.generated(torch.arange(3), 1)
        assert generated.shape == (3, 1, 2, 2)
        assert generated[2].flatten().tolist() == [0, 64, 159, 255]
        assert task.pictures()["generated"].shape[2] == 3


def test_the_trivial_velocity_is_the_best_for_independent_normal_pixels() -> None:
    """Compare with the straight line that least squares fits through noisy images and velocities."""
    mean, std = torch.tensor([0.5, -2.0]), torch.tensor([0.3, 2.0])
    images = (mean + std * torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0))).view(-1, 2, 1, 1)
    task = task_of(Toward(torch.zeros(2, 1, 1)), held(images))
    noise = task.noise(9, torch.arange(len(images)), 0)
    for t in (0.0, 0.3, 0.8, 1.0):
        noisy, velocity = (1 - t) * noise + t * images, images - noise
        found = task.trivial_velocity(noisy, torch.full((len(images),), t))
        for pixel in range(2):
            x = torch.stack([torch.ones(len(images)), noisy[:, pixel, 0, 0]], 1).double()
            line = torch.linalg.lstsq(x, velocity[:, pixel].view(-1, 1).double()).solution
            assert (x @ line).flatten() == pytest.approx(found[:, pixel, 0, 0].double(), abs=0.1)


def test_scores_depend_on_no_batch_size_and_weigh_all_times() -> None:
    """With velocities of zero the error is that of images and noise, E[image^2] + 1, at every time."""
    images = torch.randn(500, 1, 4, 4)
    model = nn.Module()
    model.forward = lambda x, times: torch.zeros_like(x)  # type: ignore[method-assign]
    task = task_of(model, held(images), eval_times=8)
    found = scored(task, 500)
    assert found == pytest.approx(scored(task, 7), rel=1e-6)
    assert found["metric"] == found["loss"] == pytest.approx(1 + float(images.square().mean()), rel=0.02)
    assert found["trivial"] < found["metric"]


def test_a_run_beats_the_trivial_answer_and_scores_its_images(tmp_path: Path) -> None:
    words = [*SMALL, "steps=200", "optimizer.lr=5e-3", "task.features=auto", "eval_every=200", "eval_train_samples=32"]
    ended = execute(config.load(words), tmp_path)
    final = ended.result["final"]
    assert ended.result["metric"] == "velocity_mse"
    assert final["test_metric"] < 0.95 * final["test_trivial"]
    assert {name for row in rows_of(ended) for name in row} <= COLUMNS.keys()
    untrained = assemble(config.load(words))
    (batch,) = untrained.data.eval_batches("validation", 1000)
    with torch.no_grad():
        noise = untrained.task.score(gather([untrained.task.evaluate(batch)]))["frechet"]
    assert final["val_frechet"] < noise / 2
    assert list(ended.folder.rglob("*generated*.png"))


def test_own_models_and_images_without_labels_are_trained_in_one_word(call: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, channels):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(channels + 1, channels, 3, padding=1)\n"
        "    def forward(self, x, times):\n"
        "        return self.conv(torch.cat([x, times.view(-1, 1, 1, 1).expand_as(x[:, :1])], 1))\n"
        "def load():\n"
        "    images = torch.rand(200, 3, 6, 6, generator=torch.Generator().manual_seed(0))\n"
        "    return {'inputs': images[:160]}, {'inputs': images[160:]}\n"
    )
    words = f"model={tmp_path}/mine.py:Net data={tmp_path}/mine.py:load task=diffusion optimizer=adamw steps=20"
    code, out, err = call("run", *words.split(), "batch_size=16", "threads=1", "tracker=none", "--json")
    assert code == 0, err
    assert json.loads(out)["metric"] == "velocity_mse"


def test_what_does_not_fit_is_one_error(call: Any) -> None:
    code, _, err = call("run", "model=mlp", "task=diffusion", "optimizer=adamw", "steps=5", "tracker=none")
    assert code == 2
    assert "MLP" in err or "forward" in err
    code, _, err = call("run", "model=unet", "data=pydocs", "optimizer=adamw", "steps=5", "tracker=none")
    assert code == 2
    assert "reads images" in err
    code, _, err = call("run", "model=unet", "task=image_classification", "optimizer=adamw", "steps=5", "tracker=none")
    assert code == 2
    assert "times" in err


def test_the_objects_of_a_run_are_those_of_the_files() -> None:
    task = assemble(config.load([*SMALL, "task.eval_times=2", "task.times=logit_normal"])).task
    assert isinstance(task, FlowMatching)
    assert (task.eval_times, task.times, task.features) == (2, "logit_normal", None)
