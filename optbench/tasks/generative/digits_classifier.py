"""The small classifier of 8x8 digits whose features compare 8x8 grey images.

Its weights are stored beside this file, so that the features are the same on every machine. They were trained on the
training split of the embedded digits by `python tests/tasks/learn_digits_classifier.py`, which prints their accuracy.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("digits_classifier.npz")
FEATURES = 32


class DigitsClassifier(nn.Module):
    """Images (B, 1, 8, 8) on the scale 0 to 1 to features (B, 32): the last hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, 1, 1), nn.Conv2d(12, 24, 3, 2, 1)
        self.hidden, self.head = nn.Linear(24 * 16, FEATURES), nn.Linear(FEATURES, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return torch.relu(self.hidden(x.flatten(1)))


def load() -> DigitsClassifier:
    """Load the classifier with the weights of the package."""
    import numpy

    model = DigitsClassifier()
    with numpy.load(WEIGHTS) as stored:  # stored in half precision
        model.load_state_dict({name: torch.from_numpy(stored[name]).float() for name in stored.files})
    return model
