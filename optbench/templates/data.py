"""A data set of your own: a function that returns (train, validation, test).

optbench run data=./my_name.py:my_name model=mlp steps=200
optbench sweep data=./my_name.py:my_name model=mlp optimizer=adamw,lion steps=200 --trials 4 --seeds 3
"""

import torch

Split = tuple[torch.Tensor, torch.Tensor]


def my_name(samples: int = 3000) -> tuple[Split, Split, Split]:
    """Return three pairs (inputs, labels); a torch Dataset, arrays or a datasets.Dataset will do as well.

    Whole numbers as labels are classes, others are values to predict. The arguments are settings: data.samples=5000."""
    inputs = torch.randn(samples, 2, generator=torch.Generator().manual_seed(0))
    labels = (inputs.norm(dim=1) > 1.2).long()  # inside or outside of a circle
    train, validation = int(0.7 * samples), int(0.85 * samples)
    cuts = slice(0, train), slice(train, validation), slice(validation, samples)
    first, second, third = ((inputs[cut], labels[cut]) for cut in cuts)
    return first, second, third
