"""The names of results: records, statuses and columns.

Each name in `metrics.jsonl`, `result.json`, trackers and reports is defined here once.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[np.uint8]"
"""A picture (H, W, 3)."""
SCHEMA = 1
DEFAULT_TRIAL = -1
"""The number of the trial with an optimizer's own values; those at points of the search box count from 0."""
BUSY_SHARE = 0.1
"""A run whose threads waited this share of their time for a core has longer times than alone."""


class Status(enum.StrEnum):
    """The status of a finished run. An interrupted run has none: it can be resumed."""

    COMPLETED = "completed"
    STOPPED_AT_TARGET = "stopped_at_target"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def succeeded(self) -> bool:
        """True for a run that trained to its end or to its target."""
        return self in (Status.COMPLETED, Status.STOPPED_AT_TARGET)


class Split(enum.StrEnum):
    """The samples that a record's values were measured on."""

    TRAIN = "train"  # augmented batches; means over the steps since the last train record, while the weights change
    TRAIN_CLEAN = "train_clean"  # training samples without augmentation, with fixed weights
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Column:
    """One column: its unit ("1" if dimensionless) and its meaning."""

    unit: str
    meaning: str


COLUMNS: dict[str, Column] = {
    "step": Column("steps", "optimizer steps done"),
    "samples": Column("samples", "training samples consumed; null where a script does not tell"),
    "tokens": Column("tokens", "training tokens consumed; null where the task has none"),
    "gradient_evaluations": Column(
        "evaluations", "forward-backward passes over a whole batch, closures counted; null where unknown"
    ),
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
    "clip_fraction": Column("1", "share of gradients that were clipped since the last train record"),
    "clip_scale": Column("1", "mean L2 norm of the gradient after clipping over before, since the last train record"),
    "attention_logit": Column("1", "largest attention logit of this step, before the update; with qk_clip"),
    "clipped_heads": Column("1", "share of attention heads that qk_clip scaled down in this step"),
    "val_trivial": Column("task", "the validation metric of a trivial answer that has learned nothing"),
    "test_trivial": Column("task", "the same on test"),
    "train_clean_trivial": Column("task", "the same on training samples without augmentation"),
    "val_accuracy": Column("1", "share of validation targets predicted correctly, where accuracy is not the metric"),
    "test_accuracy": Column("1", "the same on test"),
    "train_clean_accuracy": Column("1", "the same on training samples without augmentation"),
    "val_bits_per_byte": Column("bit/B", "cost of the validation text per byte, comparable between vocabularies"),
    "test_bits_per_byte": Column("bit/B", "the same on test"),
    "train_clean_bits_per_byte": Column("bit/B", "the same on training samples"),
    "val_precision": Column("1", "share of generated images close to a validation image, by features"),
    "test_precision": Column("1", "the same for test images"),
    "train_clean_precision": Column("1", "the same for training images without augmentation"),
    "val_frechet": Column("1", "Fréchet distance of generated images, by features, where it is not the metric"),
    "test_frechet": Column("1", "the same for test images"),
    "train_clean_frechet": Column("1", "the same for training images without augmentation"),
    "val_recall": Column("1", "share of validation images close to a generated image, by features"),
    "test_recall": Column("1", "the same for test images"),
    "train_clean_recall": Column("1", "the same for training images without augmentation"),
    "real_score": Column("1", "mean output of the discriminator on the step's real images"),
    "fake_score": Column("1", "the same on its generated images"),
    "discriminator_accuracy": Column(
        "1", "share of a step's (real, generated) pairs that it ranks correctly; 1: saturated"
    ),
    "fake_diversity": Column(
        "1", "rms distance between two generated images of a step over that of real ones; 0: collapsed"
    ),
    "samples_per_second": Column("samples/s", "samples over train seconds, since the last train record"),
    "tokens_per_second": Column("tokens/s", "tokens over train seconds, since the last train record"),
    "step_ms_median": Column("ms", "median training step since the last train record"),
    "step_ms_p95": Column("ms", "95th percentile of the training step since the last train record"),
    "loss_scale": Column("1", "the fp16 loss scaler's factor"),
    "skipped_steps": Column("steps", "steps skipped by the fp16 loss scaler, so far"),
    "peak_allocated_bytes": Column("B", "peak device memory allocated in training steps, so far (CUDA)"),
    "peak_reserved_bytes": Column("B", "peak device memory reserved by training and evaluation, so far (CUDA)"),
    "evaluation_peak_allocated_bytes": Column("B", "peak device memory allocated in evaluations, so far (CUDA)"),
    "resident_bytes": Column("B", "peak resident memory of the process (CPU)"),
    "nonfinite": Column("1", "names and texts of values that were nan or infinite; null in their own column"),
}
"""The column dictionary. A task with several players prefixes a column by the player (`generator_loss`)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One measured row of one run."""

    step: int
    samples: int | None
    """None where a training script doesn't tell; so are `gradient_evaluations`."""
    gradient_evaluations: int | None
    split: Split
    train_seconds: float
    wall_seconds: float
    values: Mapping[str, float | int | None] = field(default_factory=dict[str, float | int | None])
    tokens: int | None = None
    pictures: Mapping[str, Pixels] = field(default_factory=dict[str, Pixels])
    """Pictures by name, stored beside the row."""

    def as_row(self) -> dict[str, object]:
        """Return a flat mapping for JSON. A nonfinite value becomes null and is listed under `nonfinite`."""
        row: dict[str, object] = {
            "step": self.step,
            "samples": self.samples,
            "tokens": self.tokens,
            "gradient_evaluations": self.gradient_evaluations,
            "split": str(self.split),
            "train_seconds": self.train_seconds,
            "wall_seconds": self.wall_seconds,
        }
        nonfinite = {name: str(value) for name, value in self.values.items() if not is_finite(value)}
        row.update({name: None if name in nonfinite else value for name, value in self.values.items()})
        if nonfinite:
            row["nonfinite"] = nonfinite
        return row


def is_finite(value: float | int | None) -> bool:
    """Return True for finite numbers and for None ("not measured")."""
    return value is None or math.isfinite(value)


def without_nonfinite(tree: object) -> object:
    """Return the tree of mappings, lists and scalars with nan and infinity replaced by None, as JSON requires."""
    if isinstance(tree, Mapping):
        return {key: without_nonfinite(value) for key, value in cast("Mapping[str, object]", tree).items()}
    if isinstance(tree, (list, tuple)):
        return [without_nonfinite(value) for value in cast("Sequence[object]", tree)]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return tree
