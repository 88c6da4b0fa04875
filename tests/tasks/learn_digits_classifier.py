"""Train the weights in optbench/tasks/generative/digits_classifier.npz on the training split of the embedded digits.

    python tests/tasks/learn_digits_classifier.py OUT.npz

Deterministic on one kind of machine: one thread, fixed seeds. Prints the accuracy on every split."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import numpy
import torch
from torch.nn import functional

from optbench.contracts import Seeds
from optbench.data.digits import Digits
from optbench.data.in_memory import InMemoryImages
from optbench.tasks.generative.digits_classifier import DigitsClassifier

STEPS, BATCH, LR = 4000, 64, 3e-3
AUGMENT = {"crop_pad": 1, "flip": False, "cutout": 0, "mixup": 0.0, "cutmix": 0.0}


def embedded() -> InMemoryImages:
    """Load the digits with the splits of every run."""
    digits = Digits(validation=270, verify="on", augment=AUGMENT)
    return digits.load(Path(), torch.device("cpu"), Seeds(init=0, order=1, augment=2))


def accuracy(model: DigitsClassifier, data: InMemoryImages, split: str) -> float:
    """Return the share of a split's samples that are classified correctly."""
    (batch,) = data.eval_batches(split, 10000)
    with torch.no_grad():
        found = model.head(model(batch["inputs"] * data.std + data.mean)).argmax(1)
    return float((found == batch["labels"]).double().mean())


def train(data: InMemoryImages) -> DigitsClassifier:
    """Train with AdamW and a linear decay to zero, on images shifted by up to a pixel."""
    torch.manual_seed(0)
    model = DigitsClassifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05)
    for step, batch in enumerate(islice(data.train_batches(BATCH), STEPS)):
        optimizer.param_groups[0]["lr"] = LR * (1 - step / STEPS)
        images = (batch["inputs"] * data.std + data.mean).clamp(0, 1)
        loss = functional.cross_entropy(model.head(model(images)), batch["labels"], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def main(out: str) -> None:
    """Train, print the accuracy, and write the weights in half precision."""
    torch.set_num_threads(1)
    data = embedded()
    model = train(data).half().float()
    print({split: round(accuracy(model, data, split), 4) for split in ("train", "validation", "test")})
    numpy.savez_compressed(
        out, **{name: tensor.numpy().astype("float16") for name, tensor in model.state_dict().items()}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
