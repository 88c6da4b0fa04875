"""Learns the weights of optbench/tasks/generative/digits_classifier.npz from the embedded digits' training part.

    python tests/tasks/learn_digits_classifier.py OUT.npz

Deterministic on one kind of machine: one thread, fixed seeds. Says the accuracy on validation and test."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
import torch
from torch.nn import functional

from optbench.contracts import Seeds
from optbench.data.digits import Digits
from optbench.tasks.generative.digits_classifier import DigitsClassifier

STEPS, BATCH, RATE = 4000, 64, 3e-3
AUGMENT = {"crop_pad": 1, "flip": False, "cutout": 0, "mixup": 0.0, "cutmix": 0.0}


def embedded() -> Any:
    """The digits with the splits that every run has."""
    digits = Digits(validation=270, verify="on", augment=AUGMENT)
    return digits.load(Path(), torch.device("cpu"), Seeds(init=0, order=1, augment=2))


def accuracy(model: DigitsClassifier, data: Any, split: str) -> float:
    """Share of a split's samples that get their class."""
    (batch,) = data.eval_batches(split, 10000)
    with torch.no_grad():
        found = model.head(model(batch["inputs"] * data.std + data.mean)).argmax(1)
    return float((found == batch["labels"]).double().mean())


def learned(data: Any) -> DigitsClassifier:
    """AdamW at a rate that falls to zero, on images moved by up to a pixel."""
    torch.manual_seed(0)
    model = DigitsClassifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    for step, batch in enumerate(islice(data.train_batches(BATCH), STEPS)):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        images = (batch["inputs"] * data.std + data.mean).clamp(0, 1)
        loss = functional.cross_entropy(model.head(model(images)), batch["labels"], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def main(out: str) -> None:
    """Learn, say how well, write in half precision."""
    torch.set_num_threads(1)
    data = embedded()
    model = learned(data).half().float()
    print({split: round(accuracy(model, data, split), 4) for split in ("train", "validation", "test")})
    numpy.savez_compressed(
        out, **{name: tensor.numpy().astype("float16") for name, tensor in model.state_dict().items()}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
