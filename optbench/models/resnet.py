"""Residual networks: the CIFAR forms for small images, timm's for large ones."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from optbench.contracts import ImageData
from optbench.errors import ConfigError
from optbench.models.facts import head_size
from optbench.models.roles import mark

LARGE_IMAGE = 64  # pixels from which the ImageNet stem (7x7, stride 2, pooling) is used
SMALL_FORMS = {  # layers: blocks per stage, and the first stage's channels as a share of `width`
    18: ((2, 2, 2, 2), 1.0),  # He et al., 2016, table 1, with a 3x3 stem
    20: ((3, 3, 3), 0.25),  # He et al., 2016, section 4.2: 16, 32, 64 channels
    34: ((3, 4, 6, 3), 1.0),
}


def build(data: ImageData, *, size: int, width: int) -> nn.Module:
    """Build a network from images (B, C, H, W) to logits (B, classes).

    Raises ConfigError if there is no form with this number of layers at this image size."""
    (channels, height, _), classes = data.sample_shape, head_size(data)
    return large(channels, classes, size) if height >= LARGE_IMAGE else small(channels, classes, size, width)


def large(channels: int, classes: int, size: int) -> nn.Module:
    """Build timm's form for large images."""
    import timm

    if size not in (18, 34, 50):
        raise ConfigError(f"model.size={size}: for images from {LARGE_IMAGE} pixels on, choose 18, 34 or 50 layers")
    model = timm.create_model(f"resnet{size}", pretrained=False, in_chans=channels, num_classes=classes)
    mark(model.get_submodule("fc"), "head")
    mark(model.get_submodule("conv1"), "first")
    return model


def small(channels: int, classes: int, size: int, width: int) -> nn.Module:
    """Build the form for small images."""
    if size not in SMALL_FORMS:
        known = ", ".join(map(str, SMALL_FORMS))
        raise ConfigError(f"model.size={size}: for images below {LARGE_IMAGE} pixels, choose {known} layers")
    blocks, share = SMALL_FORMS[size]
    return SmallResNet(channels, classes, blocks, round(width * share))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """A 3x3 stem, stages that double the channels and halve the side, mean pooling, a linear head."""

    def __init__(self, channels: int, classes: int, blocks: tuple[int, ...], width: int) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(len(blocks))]
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        layers, inputs = [], width
        for stage, (count, outputs) in enumerate(zip(blocks, widths, strict=True)):
            for index in range(count):
                layers.append(BasicBlock(inputs, outputs, 2 if stage and not index else 1))
                inputs = outputs
        self.stages = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, classes)
        mark(self.fc, "head")
        mark(self.stem[0], "first")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(self.stem(x)).mean((2, 3)))
