"""The residual networks of He et al. (2016, arXiv:1512.03385, section 4.2) for 32x32 images, without their head."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (16, 32, 64)


class CifarBlock(nn.Module):
    """Two convolutions around a shortcut without parameters (option A): every second pixel, zeros in new channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride, self.missing = outputs // inputs, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        half = self.missing // 2
        kept = x[:, :, :: self.stride, :: self.stride]
        return torch.relu(y + functional.pad(kept, (0, 0, 0, 0, half, half)))


class CifarResNet(nn.Module):
    """Normalised images (B, 3, 32, 32) to the means (B, 64) of the last channels over the pixels."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0])
        inputs = WIDTHS[0]
        for stage, outputs in enumerate(WIDTHS, 1):
            layers = [CifarBlock(inputs if not index else outputs, outputs) for index in range(blocks)]
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            inputs = outputs
        self.linear = nn.Linear(WIDTHS[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x))).mean((2, 3))


def build(layers: int, state: Mapping[str, Tensor]) -> CifarResNet:
    """Build the network of 6 n + 2 layers with these weights, which were saved by a DataParallel."""
    model = CifarResNet((layers - 2) // 6)
    model.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    return model
