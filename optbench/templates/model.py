"""A model of your own: a torch.nn.Module, or a function that returns one.

optbench run model=./my_name.py:MyName steps=200
optbench sweep model=./my_name.py:MyName optimizer=adamw,lion steps=200 --trials 4 --seeds 3
"""

from torch import Tensor, nn


class MyName(nn.Module):
    """`inputs` and `outputs` come from the data; so would classes, channels, image_size, vocabulary_size and more.

    The other arguments are settings: model.width=256."""

    def __init__(self, inputs: int, outputs: int, width: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return a number for each sample and class."""
        return self.layers(x)
