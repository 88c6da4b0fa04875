"""Generators and discriminators: shapes for any image, spectral norms, forward passes without side effects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from optbench import config
from optbench.config import imports
from optbench.errors import ConfigError
from optbench.models.roles import trainable

KINDS = ("dcgan", "sngan", "wgan_gp")


def built(kind: str, shape: tuple[int, int, int] = (1, 8, 8), width: int = 4) -> Any:
    data = SimpleNamespace(sample_shape=shape)
    return imports.load(f"optbench.models.gan.{kind}.build")(data, width=width, noise=6)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("kind", KINDS)
def test_noise_becomes_images_and_images_become_scores(kind: str, shape: tuple[int, int, int]) -> None:
    model = built(kind, shape)
    images = model["generator"](torch.randn(3, model["generator"].noise))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    assert model["discriminator"](images).shape == (3,)


@pytest.mark.parametrize(
    ("shape", "message"), [((1, 8, 16), "square"), ((3, 25, 25), "doubles"), ((1, 7, 7), "doubles")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_unreachable_image_sizes_are_refused(kind: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(kind, shape)


def test_parameter_counts_at_32_pixels_are_the_papers() -> None:
    """Compare with counts by hand from the tables: convolutions with biases, batch norms, linear layers."""

    def count(player: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in player.parameters())

    def conv(inputs: int, outputs: int, side: int = 3) -> int:
        return inputs * outputs * side**2 + outputs

    sngan = imports.load("optbench.models.gan.sngan.build")(
        SimpleNamespace(sample_shape=(3, 32, 32)), width=128, noise=128
    )
    block = 2 * conv(256, 256) + conv(256, 256, 1) + 2 * 2 * 256
    assert count(sngan["generator"]) == 129 * 4096 + 3 * block + 2 * 256 + conv(256, 3)
    first = conv(3, 128) + conv(128, 128) + conv(3, 128, 1)
    halving, flat = 2 * conv(128, 128) + conv(128, 128, 1), 2 * conv(128, 128)
    assert count(sngan["discriminator"]) == first + halving + 2 * flat + 129


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_its_role(kind: str) -> None:
    model = built(kind)
    for player in model.values():
        roles = {parameter.name: parameter.role for parameter in trainable(player)}
        for name, role in roles.items():
            if name.endswith("bias"):
                assert role in ("bias", "norm")
            elif "conv" in name or "shortcut" in name:
                assert role in ("convolution", "first")
            elif name.startswith("end."):
                assert role == "head"
        assert list(roles.values()).count("head") == 1
    assert "first" not in {p.role for p in trainable(model["generator"])}
    readers = [p for p in trainable(model["discriminator"]) if p.tensor.ndim == 4 and p.tensor.shape[1] == 1]
    assert readers == [p for p in trainable(model["discriminator"]) if p.role == "first"]


def largest(layer: Any) -> float:
    return float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2))


def test_only_renew_updates_spectral_norms() -> None:
    torch.manual_seed(0)
    critic = built("sngan")["discriminator"].train()
    layers = [module for module in critic.modules() if hasattr(module, "parametrizations")]
    assert len(layers) == 1 + sum(type(m).__name__ == "ParametrizedConv2d" for m in critic.modules())
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.copy_(5 * torch.randn_like(layer.parametrizations.weight.original))
    before = {name: buffer.clone() for name, buffer in critic.named_buffers()}
    images = torch.randn(4, 1, 8, 8)
    first = critic(images)
    assert torch.equal(critic(images), first)
    assert all(torch.equal(buffer, before[name]) for name, buffer in critic.named_buffers())
    for _ in range(300):
        critic.renew()
    assert not torch.equal(critic(images), first)
    assert [largest(layer) for layer in layers] == pytest.approx([1.0] * len(layers), rel=1e-3)


def test_a_state_dict_includes_the_estimate() -> None:
    torch.manual_seed(0)
    one, other = built("sngan")["discriminator"], built("sngan")["discriminator"]
    one.renew()
    other.load_state_dict(one.state_dict())
    images = torch.randn(4, 1, 8, 8)
    one.renew()
    other.renew()
    assert torch.equal(one(images), other(images))


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_depend_only_on_the_seed(kind: str) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return list(built(kind).state_dict().values())

    assert all(map(torch.equal, weights(3), weights(3)))
    assert not all(map(torch.equal, weights(3), weights(4)))


@pytest.mark.parametrize("name", [n for n in config.options([config.packaged_folder()], "model") if "gan" in n])
def test_the_settings_of_a_file_match_its_builder(name: str) -> None:
    settings = dict(config.load([f"model={name}"]).model.settings)
    settings.pop("task")
    model = imports.load(config.load([f"model={name}"]).model.target)(
        SimpleNamespace(sample_shape=(1, 8, 8)), **settings
    )
    assert list(model) == ["generator", "discriminator"]
