"""The protocols that join the packages. Types only: nothing is imported at run time.

A *task* defines how a kind of problem is trained and scored. A *player* is a network with its own optimizer inside a
task: a classifier has one, a GAN two. A *turn* is one optimizer step of one player.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import Tensor, nn

    from optbench.records import Record

Batch = Mapping[str, "Tensor"]
"""Named tensors whose first dimension is the sample."""

ROLES = ("embedding", "head", "first", "matrix", "convolution", "norm", "bias")
"""The roles of parameters: optimizers, weight decay rules and clips match roles, never names.

`first` is the convolution that reads the input, or a patch embedding, which Muon leaves to AdamW."""

SumCount = tuple["Tensor", "Tensor | int"]
"""A sum over terms and the number of terms. The mean is formed once, over all micro-batches, ranks and batches."""

Evaluation = Mapping[str, "SumCount | Tensor"]
"""The result of one evaluation batch. (sum, count) pairs become means over the split; a sum may have any shape.
The rows of plain tensors (B, ...) are gathered over the split."""

Progress = Callable[[str, float], None]
"""Reports the progress of a download: a name and the fraction done, 0 to 1."""


@dataclass(frozen=True)
class Seeds:
    """Independent seeds of one run, one per purpose, derived from the run's seed."""

    init: int
    order: int
    augment: int


@dataclass(frozen=True)
class Turn:
    """One optimizer step of `player`: `loss(micro_batch)` returns the differentiable sum and the count of its terms."""

    player: str
    batch: Batch
    loss: Callable[[Batch], SumCount]
    sampled_loss: Callable[[Batch], SumCount] | None = None
    """The loss at targets sampled from the model's own distribution, for the Fisher matrix; None if it has none."""


MetricScale = Literal["share", "positive", "decades", "real"]
"""The values of a metric. share: of n samples, in [0, 1]; positive: above 0; decades: above 0, and compared as a ratio,
because it spans orders of magnitude; real: any number."""


class Task(Protocol):
    """A kind of problem: its training and its scoring."""

    metric: str
    """Name of the headline metric, e.g. "accuracy"."""
    direction: str
    """"max" if a larger metric is better, else "min"."""
    metric_scale: MetricScale
    """The values that the metric can take."""
    players: Mapping[str, nn.Module]
    """Networks by player name; a supervised task has one, called "model"."""

    def turns(self, batch: Batch, step: int) -> Iterable[Turn]:
        """Return the optimizer steps for batch number `step`, in order. Step 0 has a turn of every player."""
        ...

    def evaluate(self, batch: Batch) -> Evaluation:
        """Evaluate one batch; called without gradients."""
        ...

    def score(self, gathered: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Return "loss", "metric" and other scores of a split from the means and gathered rows of its batches.

        Names are columns of `records.COLUMNS` without the split's prefix."""
        ...

    def measures(self) -> Mapping[str, float]:
        """Return additional values for a train record: columns of `records.COLUMNS`."""
        ...

    def pictures(self) -> Mapping[str, np.ndarray]:
        """Return images to show at an evaluation: uint8 arrays (H, W, 3) by name.

        Called in evaluation mode without gradients; must not change any random state."""
        ...

    def after_step(self, step: int) -> None:
        """Run after every turn, e.g. to project parameters."""

    def diverged(self, loss: float) -> str:
        """Return the reason if this mean training loss means divergence, else ""."""
        ...


@runtime_checkable
class Renewable(Protocol):
    """A discriminator with weights normalised by a running estimate, e.g. spectral norm."""

    def renew(self) -> None:
        """Update the estimate; called once after each step of the discriminator."""


@runtime_checkable
class DataSet(Protocol):
    """Samples in three splits, on one device or streamed to it."""

    sha256: str
    """Hash of content and split: results with different hashes are never compared."""
    verified: bool
    """False if the content is not the published one and `data.verify=off` accepted it."""
    sizes: Mapping[str, int]
    """Samples by split: "train", "validation", "test"."""
    tokens_per_sample: int
    """Tokens of one training sample; 0 if samples are not sequences of tokens."""
    facts: Mapping[str, object]
    """Plain values that run.json stores about the data set, e.g. {"classes": 10}."""
    local_slice: Callable[[int], slice] | None = None
    """Set on each rank of a distributed run: this rank's samples in a training batch of the given size.

    A data set may use it to skip reading the other samples."""

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end, from batch number `first_step` on.

        Batch k depends only on (seeds, batch_size, k), so that a resumed run sees the same batches as an uninterrupted
        one. If the iterator has a method `close`, as generators do, the loop calls it at the end."""
        ...

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Yield every sample of `split` once, in a fixed order, without augmentation; at most `limit` samples.

        "index" (B,) int64 is the sample's number in the split."""
        ...


class ImageData(DataSet, Protocol):
    """A DataSet of kind `images`: batches of "inputs" (B, C, H, W) float32 and "labels".

    Labels are classes (B,) int64 or, if images are mixed, class weights (B, classes)."""

    sample_shape: tuple[int, ...]
    """Shape of one input, e.g. (3, 32, 32)."""
    classes: int
    """Number of classes."""
    mean: Tensor
    """Mean of each channel, (C, 1, 1) on the device, on the scale 0 to 1: inputs are (pixel - mean) / std."""
    std: Tensor
    """Standard deviation of each channel, likewise."""


class FunctionData(DataSet, Protocol):
    """A DataSet of kind `function`: batches of "index" (B,) int64, the numbers of the samples in an endless stream."""

    def fill(self, draw: Callable[[int, Tensor], Mapping[str, Tensor]], width: int) -> None:
        """Add the tensors (B, ...) of `draw(seed, index)` to every training batch from now on.

        They must depend only on the seed and each sample's number. `width`: about how many random numbers a sample
        takes."""


@dataclass(frozen=True)
class Vocabulary:
    """The pieces into which a tokenizer splits text, numbered 0 .. size-1."""

    size: int
    """Number of pieces, including special ones."""
    pad: int
    """The padding piece; T5's decoder starts from it."""
    mask: int
    """The piece that replaces a hidden piece."""
    end: int
    """The piece that ends a document."""
    special: tuple[int, ...]
    """All pieces that represent no text, including the three above."""
    counts: Tensor
    """Occurrences of each piece in the training split: int64 (size,) on the CPU."""
    byte_lengths: Tensor
    """Bytes of text of each piece, 0 for special ones: int64 (size,) on the CPU."""
    decode: Callable[[Sequence[int]], str]
    """Returns the text of a sequence of pieces, without special ones."""


class TextData(DataSet, Protocol):
    """A DataSet of kind `text`: batches of "tokens" (B, sequence_length) int64 and "index" (B,) int64.

    Documents are packed without padding. In training, "index" is the sample's position in the endless stream."""

    vocabulary: Vocabulary
    sequence_length: int
    """Tokens per sample."""


@dataclass(frozen=True)
class Parameter:
    """A trainable tensor, its qualified name and its role, one of ROLES."""

    name: str
    tensor: Tensor
    role: str

    def has_role(self, roles: Sequence[str]) -> bool:
        """Return True if its role is among `roles`; a first layer counts as the matrix or convolution that it is."""
        kind = "convolution" if self.tensor.ndim > 2 else "matrix"
        return self.role in roles or (self.role == "first" and kind in roles)


class Curvature(Protocol):
    """Second-order information about the mean loss of the current batch at the current parameters."""

    def sampled_gradients(self, thetas: Sequence[Tensor]) -> tuple[list[Tensor], Tensor | int]:
        """Return gradients of the mean loss at targets sampled from the model, and the number of terms in the mean.

        The number is a tensor where it is known on the device alone: reading it would make the CPU wait."""
        ...

    def hessian_products(self, thetas: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Return Hessian-vector products of the mean loss; `vectors` and products have the shapes of `thetas`."""
        ...


@dataclass(frozen=True)
class AttentionHeads:
    """The heads of one attention, for optimizers that scale them. Query heads that share a key count as one head."""

    largest: Tensor
    """The largest logit of each head in the forward passes of the current step, (heads,); -inf without any."""
    projections: Sequence[tuple[Tensor, Tensor]]
    """The weights (out, ...) and biases (out,) that make queries and keys, each with the head of each of its rows:
    int64 (out,), equal to the number of heads where a row belongs to none."""


@dataclass(frozen=True)
class Problem:
    """The network as an optimizer may see it: named parameters with roles, and modules.

    `curvature` is given only to optimizers that declare that they need it."""

    parameters: tuple[Parameter, ...]
    modules: Mapping[str, nn.Module] = field(default_factory=lambda: dict[str, "nn.Module"]())
    curvature: Curvature | None = None


class Sink(Protocol):
    """A receiver of records: the store, the terminal, a tracker."""

    def start(self, run: Mapping[str, object]) -> None:
        """Receive the contents of run.json, once."""

    def log(self, record: Record) -> None:
        """Receive a record; called outside the timed phases."""

    def tick(self, step: int) -> None:
        """Receive the current step; called several times a second between steps."""

    def finish(self, result: Mapping[str, object] | None) -> None:
        """Receive the contents of result.json, once, or None if the run was interrupted."""


@runtime_checkable
class ShowsOutput(Protocol):
    """A sink that shows what a training script prints."""

    def output(self, text: bytes) -> None:
        """Receive what the script has printed since the last call."""


class DataSource(Protocol):
    """A data set before its samples are loaded. Its keyword arguments are the keys of its YAML file."""

    def locate(self, root: Path) -> Path | None:
        """Return the folder or file that holds the data, normally under `root`; None if it is absent."""
        ...

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the data into `root` and return its path.

        Raises MissingError with the command or folder that would help."""
        ...

    def verify(self, root: Path) -> list[str] | None:
        """Return the differences from the published checksums, one line each: empty if all agree, None without any."""
        ...

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """Load the samples. Raises MissingError if the data is absent or not recognised."""
        ...
