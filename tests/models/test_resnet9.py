"""ResNet-9: whitened patches, partial identities, and what is frozen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional

from optbench.models import resnet9
from optbench.models.roles import trainable


def images(shape: tuple[int, ...], count: int = 300) -> Any:
    """Return a data set of smooth random images, in batches of at most 100."""
    pixels = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0)).cumsum(-1).cumsum(-2)

    def eval_batches(split: str, batch_size: int, limit: int) -> Any:
        assert split == "train"
        return ({"inputs": part} for part in pixels[:limit].split(100))

    sizes = {"train": count}
    return SimpleNamespace(sample_shape=shape, classes=5, sizes=sizes, eval_batches=eval_batches, pixels=pixels)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_images_become_logits(shape: tuple[int, ...]) -> None:
    model = resnet9.build(images(shape), width=8)
    assert model(torch.randn(2, *shape)).shape == (2, 5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 10)])
def test_patches_are_white(shape: tuple[int, ...]) -> None:
    """The filters' responses are uncorrelated, of power 1 where a direction has more than `eps`; then the negatives."""
    data = images(shape)
    filters = resnet9.whitening_filters(data)
    assert filters.shape == (8 * shape[0], shape[0], 2, 2)
    found = functional.conv2d(data.pixels, filters).transpose(0, 1).flatten(1).double()
    first, second = found.chunk(2)
    torch.testing.assert_close(first, -second)
    covariance = first @ first.T / first.shape[1]
    torch.testing.assert_close(covariance, torch.eye(len(first), dtype=torch.float64), rtol=0, atol=5e-3)


def test_the_first_filters_pass_their_input_on() -> None:
    layer = resnet9.convolution(4, 6)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(layer(x)[:, :4], x)


def test_whitening_and_the_norms_scales_are_frozen() -> None:
    model = resnet9.build(images((3, 32, 32)), width=64)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    norms = [f"groups.{group}.norm{number}.weight" for group in range(3) for number in (1, 2)]
    assert frozen == ["whiten.weight", *norms]
    roles = {p.name: p.role for p in trainable(model)}
    assert roles["head.weight"] == "head"
    assert roles["groups.0.norm1.bias"] == "norm"
    # airbench94's layers: 24 biases; 3x3 convolutions 24-64-64-256-256-256-256; 1,152 norm biases; a head of 256 x 5
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(p.tensor.numel() for p in trainable(model)) == 24 + convolutions + 2 * (64 + 256 + 256) + 256 * 5


def test_the_seed_does_not_change_the_whitening(quick_run: Any) -> None:
    ended = [
        quick_run("model=resnet9", "model.width=4", "steps=1", f"seed={seed}", "keep_checkpoint=true")
        for seed in (0, 1)
    ]
    states = [torch.load(next(one.folder.glob("checkpoints/*")), weights_only=True)["trainer"] for one in ended]
    one, other = (state["players"]["model"]["module"]["whiten.weight"] for state in states)
    assert torch.equal(one, other)
