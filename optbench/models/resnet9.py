r"""A small convolutional network for CIFAR-10 in seconds on a GPU, after airbench94 (Jordan, 2024, 94% on CIFAR-10 in
3.29 Seconds on a Single GPU, arXiv:2404.00498).

A frozen convolution whitens patches of 2x2 pixels; three groups of two 3x3 convolutions with pooling, batch norm and
GELU follow; then a linear head whose logits are divided by 9. Convolutions begin as partial identities, which takes the
place of shortcuts.

    covariance of patches of 5,000 training images = V diag(l) V^T;   filters = +-V / sqrt(l + eps)

Not taken over: the 64 times higher learning rate of norm biases, a lookahead over the weights, flips that alternate by
epoch, and evaluation on six views of an image.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import ImageData
from optbench.models.facts import head_size
from optbench.models.roles import mark

PATCH = 2  # side of a whitened patch, pixels
WHITENED_IMAGES = 5000
WHITENING_EPS = 5e-4  # added to the eigenvalues of the covariance
LOGIT_SCALE = 1 / 9
NORM_MOMENTUM = 0.4  # weight of the newest batch
SMALL_SIDE = 24  # pixels below which pooling rounds up, so that something is left to pool


def build(data: ImageData, *, width: int) -> nn.Module:
    """Build a network from images (B, C, H, W) to logits (B, classes); it reads training images to whiten them."""
    channels, height, _ = data.sample_shape
    network = ResNet9(channels, head_size(data), width, rounds_up=height < SMALL_SIDE)
    with torch.no_grad():
        network.whiten.weight.copy_(whitening_filters(data))
    return network


def whitening_filters(data: ImageData) -> Tensor:
    """Return filters (2 n, C, 2, 2) for n = 4 C: eigenvectors of the patches' covariance by falling eigenvalue, each
    divided by its standard deviation, and their negatives."""
    total, count = torch.zeros(()), 0
    for batch in data.eval_batches("train", 1000, min(WHITENED_IMAGES, data.sizes["train"])):
        patches = functional.unfold(batch["inputs"], PATCH).transpose(1, 2).flatten(0, 1).double().cpu()
        total, count = total + patches.T @ patches, count + len(patches)
    values, vectors = torch.linalg.eigh(total / count)
    rows = (vectors / (values + WHITENING_EPS).sqrt()).T.flip(0)
    rows = rows * torch.where(rows.sum(1, keepdim=True) < 0, -1, 1)  # the sign of an eigenvector is arbitrary
    return torch.cat([rows, -rows]).unflatten(1, (-1, PATCH, PATCH)).float()


class Group(nn.Module):
    """Two 3x3 convolutions; the first is followed by pooling."""

    def __init__(self, inputs: int, outputs: int, rounds_up: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(inputs, outputs), convolution(outputs, outputs)
        self.pool = nn.MaxPool2d(2, ceil_mode=rounds_up)
        self.norm1, self.norm2 = norm(outputs), norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.norm1(self.pool(self.conv1(x))))
        return functional.gelu(self.norm2(self.conv2(x)))


class ResNet9(nn.Module):
    """Whitening, three groups, global max pooling, a linear head without bias."""

    def __init__(self, channels: int, classes: int, width: int, rounds_up: bool) -> None:
        super().__init__()
        filters = 2 * channels * PATCH**2
        self.whiten = nn.Conv2d(channels, filters, PATCH)
        self.whiten.weight.requires_grad_(False)
        nn.init.zeros_(self.whiten.bias)  # pyright: ignore[reportArgumentType]  # it has one
        widths = (filters, width, 4 * width, 4 * width)
        self.groups = nn.Sequential(*(Group(a, b, rounds_up) for a, b in pairwise(widths)))
        self.head = nn.Linear(4 * width, classes, bias=False)
        mark(self.head, "head")
        mark(self.whiten, "first")

    def forward(self, x: Tensor) -> Tensor:
        x = self.groups(functional.gelu(self.whiten(x)))
        return self.head(x.amax((2, 3))) * LOGIT_SCALE


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution whose first filters pass their input on."""
    found = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(found.weight[:inputs])
    return found


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm that learns only its bias."""
    found = nn.BatchNorm2d(channels, eps=1e-12, momentum=NORM_MOMENTUM)
    found.weight.requires_grad_(False)
    return found
