"""The vocabulary of results: what a record, a status and each column mean.

Every name that reaches `metrics.jsonl`, `result.json`, a tracker or a report is defined here once.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1


class Status(enum.StrEnum):
    """How a run ended. *Interrupted* is not an end, so it is not here."""

    COMPLETED = "completed"
    STOPPED_AT_TARGET = "stopped_at_target"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def succeeded(self) -> bool:
        """Whether the run did what was asked of it."""
        return self in (Status.COMPLETED, Status.STOPPED_AT_TARGET)


class Split(enum.StrEnum):
    """Where a record's values were measured."""

    TRAIN = "train"  # means over the steps since the last train record, on augmented batches, weights moving
    TRAIN_CLEAN = "train_clean"  # training samples without augmentation, weights at rest
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Column:
    """One column: its unit ("1" where dimensionless) and its meaning."""

    unit: str
    meaning: str


COLUMNS: dict[str, Column] = {
    "step": Column("steps", "optimizer steps done"),
    "samples": Column("samples", "training samples consumed"),
    "tokens": Column("tokens", "training tokens consumed; null where the task has none"),
    "gradient_evaluations": Column("evaluations", "forward-backward passes over a whole batch, closures counted"),
    "split": Column("1", "train, train_clean, validation or test"),
    "train_seconds": Column("s", "data + forward + backward + optimizer, so far"),
    "wall_seconds": Column("s", "everything, so far, over all resumed sessions"),
    "train_loss": Column("task", "mean training loss since the last train record"),
    "val_loss": Column("task", "mean validation loss"),
    "val_metric": Column("task", "the task's metric on validation"),
    "test_loss": Column("task", "mean test loss, at the end only"),
    "test_metric": Column("task", "the task's metric on test, at the end only"),
    "train_clean_loss": Column("task", "mean loss on training samples without augmentation"),
    "train_clean_metric": Column("task", "the task's metric on training samples without augmentation"),
    "lr": Column("1", "learning rate of the first parameter group at this step"),
    "grad_norm": Column("1", "global L2 norm of the gradient before clipping, at this step"),
    "update_ratio": Column("1", "L2 norm of this step's parameter change over the norm of the parameters"),
    "clip_fraction": Column("1", "share of gradients since the last train record of which anything was clipped"),
    "clip_scale": Column("1", "mean L2 norm of the gradient after clipping over before, since the last train record"),
    "val_trivial": Column("task", "the metric on validation of an answer that has learned nothing"),
    "test_trivial": Column("task", "the same on test"),
    "train_clean_trivial": Column("task", "the same on training samples without augmentation"),
    "val_accuracy": Column("1", "share of validation targets predicted rightly, where accuracy is not the metric"),
    "test_accuracy": Column("1", "the same on test"),
    "train_clean_accuracy": Column("1", "the same on training samples without augmentation"),
    "val_bits_per_byte": Column("bit/B", "cost of the validation text per byte, comparable between vocabularies"),
    "test_bits_per_byte": Column("bit/B", "the same on test"),
    "train_clean_bits_per_byte": Column("bit/B", "the same on training samples"),
    "val_precision": Column("1", "share of generated images that lie among the validation images, by features"),
    "test_precision": Column("1", "the same for test images"),
    "train_clean_precision": Column("1", "the same for training images without augmentation"),
    "val_recall": Column("1", "share of the validation images that lie among the generated ones, by features"),
    "test_recall": Column("1", "the same for test images"),
    "train_clean_recall": Column("1", "the same for training images without augmentation"),
    "real_score": Column("1", "mean output of the discriminator on the step's real images"),
    "fake_score": Column("1", "the same on its generated images"),
    "discriminator_accuracy": Column(
        "1", "share of (real, generated) pairs of a step that it orders rightly; 1: saturated"
    ),
    "fake_diversity": Column(
        "1", "rms distance between two generated images of a step over that of real ones; 0: collapsed"
    ),
    "samples_per_second": Column("samples/s", "samples over train seconds, since the last train record"),
    "tokens_per_second": Column("tokens/s", "tokens over train seconds, since the last train record"),
    "step_ms_median": Column("ms", "median training step since the last train record"),
    "step_ms_p95": Column("ms", "95th percentile of the training step since the last train record"),
    "loss_scale": Column("1", "the fp16 loss scaler's factor"),
    "skipped_steps": Column("steps", "steps that the fp16 loss scaler refused, so far"),
    "peak_allocated_bytes": Column("B", "peak device memory allocated (CUDA)"),
    "peak_reserved_bytes": Column("B", "peak device memory reserved (CUDA)"),
    "resident_bytes": Column("B", "peak resident memory of the process (CPU)"),
    "nonfinite": Column("1", "values of this record that were nan or infinite, by name; null in their own column"),
}
"""The column dictionary. A task with several players prefixes a column by the player (`generator_loss`)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measured row of one run."""

    step: int
    samples: int
    gradient_evaluations: int
    split: Split
    train_seconds: float
    wall_seconds: float
    values: Mapping[str, float | int | None] = field(default_factory=dict[str, float | int | None])
    tokens: int | None = None
    pictures: Mapping[str, Any] = field(default_factory=dict)
    """uint8 arrays (H, W, 3) by name, beside the row."""

    def as_row(self) -> dict[str, Any]:
        """A flat dictionary for JSON. A value that is not finite becomes null and is named under `nonfinite`."""
        row: dict[str, Any] = {
            "step": self.step,
            "samples": self.samples,
            "tokens": self.tokens,
            "gradient_evaluations": self.gradient_evaluations,
            "split": str(self.split),
            "train_seconds": self.train_seconds,
            "wall_seconds": self.wall_seconds,
        }
        strange = {name: str(value) for name, value in self.values.items() if not is_finite(value)}
        row.update({name: None if name in strange else value for name, value in self.values.items()})
        if strange:
            row["nonfinite"] = strange
        return row


def is_finite(value: float | int | None) -> bool:
    """True for finite numbers and for None ("not measured")."""
    return value is None or math.isfinite(value)


def without_nonfinite(tree: Any) -> Any:
    """The same tree of dicts, lists and scalars with every nan or infinity replaced by None, so that it is JSON."""
    if isinstance(tree, Mapping):
        return {key: without_nonfinite(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [without_nonfinite(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
