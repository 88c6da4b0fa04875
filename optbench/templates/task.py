"""A loss of your own, and what is measured.

optbench run task=./my_name.py:my_name model=mlp data=digits steps=200
optbench sweep task=./my_name.py:my_name model=mlp data=digits optimizer=adamw,lion steps=200 --trials 4 --seeds 3
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Batch = Mapping[str, Tensor]


def my_name(model: nn.Module, batch: Batch, smoothing: float = 0.1) -> tuple[Tensor, int]:
    """Return the sum of the loss over a batch and the number of samples in it.

    The arguments after the batch are settings: task.smoothing=0."""
    loss = cross_entropy(model(batch["inputs"]), batch["labels"], label_smoothing=smoothing, reduction="sum")
    return loss, len(batch["labels"])


def accuracy(model: nn.Module, batch: Batch) -> tuple[Tensor, int]:
    """Return the number of samples that are classified correctly, and the number of samples."""
    return (model(batch["inputs"]).argmax(1) == batch["labels"]).sum(), len(batch["labels"])


# The first one chooses among trials. One to be minimised is written so: {"error": (error, "min")}
metrics = {"accuracy": accuracy}
