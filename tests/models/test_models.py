"""The embedded models and the roles of their parameters."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from optbench.errors import ConfigError
from optbench.models import mlp, resnet, unet, vit
from optbench.models.roles import mark, trainable
from optbench.models.vit import fitting_patch_size


def images(shape: tuple[int, ...], classes: int) -> Any:
    """Return the data properties that a model reads."""
    return SimpleNamespace(sample_shape=shape, classes=classes)


BUILDS: list[tuple[Any, dict[str, Any], tuple[int, ...]]] = [
    (vit.build, {"size": "micro", "patch_size": None, "drop_path": 0.0}, (1, 8, 8)),
    (vit.build, {"size": "tiny", "patch_size": 4, "drop_path": 0.1}, (3, 32, 32)),
    (resnet.build, {"size": 18, "width": 64}, (3, 32, 32)),
    (resnet.build, {"size": 20, "width": 64}, (1, 8, 8)),
    (resnet.build, {"size": 18, "width": 64}, (3, 64, 64)),
    (mlp.build, {"hidden": [7]}, (1, 8, 8)),
    (mlp.build, {"hidden": []}, (1, 8, 8)),
]


@pytest.mark.parametrize(("build", "settings", "shape"), BUILDS)
def test_images_become_logits(build: Any, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = build(images(shape, 5), **settings)
    assert model(torch.randn(2, *shape)).shape == (2, 5)
    parameters = list(trainable(model))
    assert sum(p.tensor.numel() for p in parameters) == sum(p.numel() for p in model.parameters())
    heads = [p for p in parameters if p.role == "head"]
    assert [p.tensor.shape[0] for p in heads] == [5]


def test_published_sizes() -> None:
    counts = {
        "resnet18": (resnet.build(images((3, 32, 32), 10), size=18, width=64), 11_173_962),
        "resnet20": (resnet.build(images((3, 32, 32), 10), size=20, width=64), 269_722 + 2_752),
        "vit-small": (
            vit.build(images((3, 224, 224), 1000), size="small", patch_size=None, drop_path=0.0),
            22_050_664 - 2 * 384,
        ),
    }
    for name, (model, expected) in counts.items():
        # ViT-S/16 of timm without its class token and that token's position
        # ResNet-20 is 0.27 M in the paper with parameter-free shortcuts; ours has two 1x1 projections with norms
        assert sum(p.numel() for p in model.parameters()) == expected, name


def test_patch_sizes_fit_the_image() -> None:
    assert [fitting_patch_size(pixels) for pixels in (8, 28, 32, 64, 224)] == [2, 4, 4, 8, 16]


def test_impossible_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="does not divide"):
        vit.build(images((3, 32, 32), 10), size="micro", patch_size=5, drop_path=0.0)
    with pytest.raises(ConfigError, match="square"):
        vit.build(images((3, 32, 16), 10), size="micro", patch_size=4, drop_path=0.0)
    with pytest.raises(ConfigError, match="choose 18, 20, 34 layers"):
        resnet.build(images((3, 32, 32), 10), size=50, width=64)
    with pytest.raises(ConfigError, match="choose 18, 34 or 50"):
        resnet.build(images((3, 224, 224), 10), size=20, width=64)
    with pytest.raises(ConfigError, match="10x12 pixels cannot be halved 2 times"):
        unet.build(images((3, 10, 12), 10), width=8, levels=3, blocks=1, dropout=0.0)
    with pytest.raises(ConfigError, match=r"needs images .* the shape \(10,\)"):
        unet.build(images((10,), 10), width=8, levels=None, blocks=1, dropout=0.0)


def test_roles_come_from_module_types_and_marks() -> None:
    model = vit.build(images((1, 8, 8), 10), size="micro", patch_size=None, drop_path=0.0)
    roles = Counter(p.role for p in trainable(model))
    assert roles["embedding"] == 1  # positions
    assert roles["first"] == 1  # the patches
    assert roles["convolution"] == 0
    assert roles["head"] == 1
    assert roles["matrix"] == 4 * 4
    assert roles["norm"] == 2 * (2 * 4 + 1)


NOISY: list[tuple[tuple[int, ...], dict[str, Any], list[int]]] = [  # shape, settings, sides of the levels
    ((1, 8, 8), {}, [8, 4]),
    ((1, 28, 28), {}, [28, 14, 7]),
    ((3, 32, 32), {"blocks": 2}, [32, 16, 8, 4]),
    ((3, 64, 64), {}, [64, 32, 16, 8]),
    ((3, 12, 20), {"dropout": 0.5}, [12, 6, 3]),
    ((2, 5, 5), {"width": 3}, [5]),
    ((1, 8, 8), {"levels": 3}, [8, 4, 2]),
]


@pytest.mark.parametrize(("shape", "settings", "sides"), NOISY)
def test_a_unet_keeps_the_shape_and_halves_the_side_of_each_level(
    shape: tuple[int, ...], settings: dict[str, Any], sides: list[int]
) -> None:
    model = unet.build(images(shape, 5), **{"width": 8, "levels": None, "blocks": 1, "dropout": 0.0} | settings)
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, unet.Block):
            module.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-2]))
    x, times = torch.randn(3, *shape), torch.tensor([0.0, 0.5, 1.0])
    found = model(x, times)
    assert torch.equal(found, torch.zeros_like(x))  # its last layer starts at zero
    assert sorted(set(seen), reverse=True) == sides
    roles = Counter(p.role for p in trainable(model))
    assert roles["head"] == 1
    assert {"convolution", "matrix", "norm", "bias"} < set(roles)
    assert [p.name for p in trainable(model) if p.role == "first"] == ["stem.weight"]


def test_every_parameter_of_a_unet_and_its_times_count() -> None:
    model = unet.build(images((1, 8, 8), 5), width=8, levels=None, blocks=1, dropout=0.0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 1, 8, 8)
    found = model(x, torch.tensor([0.2, 0.7]))
    assert not torch.allclose(found, model(x, torch.tensor([0.2, 0.71])))
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_the_width_of_ho_et_al_gives_their_size() -> None:
    """Compare with 35.7 M of their CIFAR-10 network, which has attention at 16x16 as well and no scales of the time."""
    model = unet.build(images((3, 32, 32), 10), width=128, levels=None, blocks=2, dropout=0.1)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(35.7e6, rel=0.1)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.tokens.weight
        self.frozen = nn.Parameter(torch.zeros(2, 2), requires_grad=False)


def test_tied_weights_appear_once_and_frozen_ones_never() -> None:
    assert [(p.name, p.role) for p in trainable(Tied())] == [("tokens.weight", "embedding")]


def test_only_known_roles_can_be_marked() -> None:
    with pytest.raises(ValueError, match="role"):
        mark(nn.Linear(1, 1), "nonsense")
