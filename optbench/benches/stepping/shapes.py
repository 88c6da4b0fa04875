"""Parameter sets with the real shapes and roles of known networks, computed from their architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch

from optbench.contracts import Parameter

Shape = tuple[str, tuple[int, ...], str]
"""Name, shape and role of a parameter."""


def linear(name: str, inputs: int, outputs: int, role: str = "matrix") -> Iterator[Shape]:
    """Yield a matrix and a bias."""
    yield f"{name}.weight", (outputs, inputs), role
    yield f"{name}.bias", (outputs,), "bias"


def norm(name: str, width: int) -> Iterator[Shape]:
    """Yield scale and shift of a layer or batch norm."""
    yield f"{name}.weight", (width,), "norm"
    yield f"{name}.bias", (width,), "norm"


def convolution(name: str, inputs: int, outputs: int, side: int, role: str = "convolution") -> Iterator[Shape]:
    """Yield a kernel without bias, and the batch norm after it."""
    yield f"{name}.weight", (outputs, inputs, side, side), role
    yield from norm(f"{name}.norm", outputs)


def resnet(blocks: tuple[int, ...], classes: int) -> Iterator[Shape]:
    """Yield a residual network of basic blocks (He et al., 2015) for large images, widths 64, 128, ..."""
    yield from convolution("stem", 3, 64, 7, "first")
    width = 64
    for stage, count in enumerate(blocks):
        inputs, width = width, 64 * 2**stage
        for block in range(count):
            name, before = f"{stage}.{block}", width if block else inputs
            yield from convolution(f"{name}.first", before, width, 3)
            yield from convolution(f"{name}.second", width, width, 3)
            if before != width:
                yield from convolution(f"{name}.shortcut", before, width, 1)
    yield from linear("head", width, classes, "head")


def vit(width: int, depth: int, patch: int, image: int, classes: int) -> Iterator[Shape]:
    """Yield a vision transformer (Dosovitskiy et al., 2020) with a class token and one matrix for q, k, v."""
    yield "class_token", (1, 1, width), "embedding"
    yield "positions", (1, (image // patch) ** 2 + 1, width), "embedding"
    yield "patches.weight", (width, 3, patch, patch), "first"
    yield "patches.bias", (width,), "bias"
    for layer in range(depth):
        yield from norm(f"{layer}.norm1", width)
        yield from linear(f"{layer}.qkv", width, 3 * width)
        yield from linear(f"{layer}.out", width, width)
        yield from norm(f"{layer}.norm2", width)
        yield from linear(f"{layer}.up", width, 4 * width)
        yield from linear(f"{layer}.down", 4 * width, width)
    yield from norm("norm", width)
    yield from linear("head", width, classes, "head")


def bert(width: int, depth: int, words: int, positions: int) -> Iterator[Shape]:
    """Yield the encoder of BERT (Devlin et al., 2018) with its pooler."""
    for name, count in (("words", words), ("positions", positions), ("segments", 2)):
        yield name, (count, width), "embedding"
    yield from norm("norm", width)
    for layer in range(depth):
        for name in ("query", "key", "value", "out"):
            yield from linear(f"{layer}.{name}", width, width)
        yield from norm(f"{layer}.norm1", width)
        yield from linear(f"{layer}.up", width, 4 * width)
        yield from linear(f"{layer}.down", 4 * width, width)
        yield from norm(f"{layer}.norm2", width)
    yield from linear("pooler", width, width)


SETS: dict[str, Callable[[], Iterator[Shape]]] = {
    "resnet18": partial(resnet, (2, 2, 2, 2), 1000),
    "vit_b": partial(vit, 768, 12, 16, 224, 1000),
    "vit_s": partial(vit, 384, 12, 16, 224, 1000),
    "vit_ti": partial(vit, 192, 12, 16, 224, 1000),
    "bert_base": partial(bert, 768, 12, 30522, 512),
    "bert_s": partial(bert, 512, 4, 30522, 512),
    "bert_ti": partial(bert, 128, 2, 30522, 512),
}


def parameters(name: str, device: torch.device, seed: int = 0) -> tuple[Parameter, ...]:
    """Return the set's initial parameters: normal with standard deviation 0.02, equal for equal seeds."""
    generator = torch.Generator(device).manual_seed(seed)
    return tuple(
        Parameter(label, (0.02 * torch.randn(shape, generator=generator, device=device)).requires_grad_(), role)
        for label, shape, role in SETS[name]()
    )
