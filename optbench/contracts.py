"""The protocols that join the parts. Only types live here; nothing is imported at run time.

Words: a *task* says how a kind of problem is trained and scored; a *player* is a network with its own optimizer
inside a task (a classifier has one, a GAN two); a *turn* is one optimizer step of one player.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from optbench.records import Record

Batch = Mapping[str, "Tensor"]
"""Named tensors whose first dimension is the sample."""

ROLES = ("embedding", "head", "matrix", "convolution", "norm", "bias")
"""What a parameter is for; optimizers, decay rules and clips match roles, never names."""

SumCount = tuple["Tensor", "Tensor | int"]
"""A sum over terms and the number of terms: means are formed once, over micro-batches, ranks and batches alike."""


@dataclass(frozen=True)
class Seeds:
    """Independent seeds of one run, one per purpose, derived from the run's seed."""

    init: int
    order: int
    augment: int


Evaluation = Mapping[str, "SumCount | Tensor"]
"""What one evaluation batch gives: (sum, count) pairs, which become means over the split (a sum may have any shape),
and plain tensors (B, ...), whose rows are gathered over the split."""


@dataclass(frozen=True)
class Turn:
    """One optimizer step of `player`: `loss(micro_batch)` gives the differentiable sum and the count of its terms."""

    player: str
    batch: Batch
    loss: Callable[[Batch], SumCount]
    sampled_loss: Callable[[Batch], SumCount] | None = None
    """The loss at targets drawn from the model's own distribution, where the task has one: for the Fisher matrix."""


class Task(Protocol):
    """How a kind of problem is trained and scored."""

    metric: str
    """Name of the headline metric, e.g. "accuracy"."""
    direction: str
    """"max" or "min": which way the metric is better."""
    players: Mapping[str, nn.Module]
    """Networks by player name; a supervised task has one, called "model"."""

    def turns(self, batch: Batch, step: int) -> Iterable[Turn]:
        """The optimizer steps to take on batch number `step`, in order. Step 0 has a turn of every player."""

    def evaluate(self, batch: Batch) -> Evaluation:
        """What is needed of one evaluation batch; called without gradients."""

    def score(self, gathered: Mapping[str, Tensor]) -> Mapping[str, float]:
        """ "loss", "metric" and whatever else there is to say of a split, from the means and gathered rows of its
        batches. Names are columns of `records.COLUMNS` without the split's prefix."""

    def measures(self) -> Mapping[str, float]:
        """What to add to a train record: columns of `records.COLUMNS`."""

    def pictures(self) -> Mapping[str, Any]:
        """What to show at an evaluation: uint8 arrays (H, W, 3) by name. Called without gradients, in evaluation mode;
        leaves no trace in any random state."""

    def after_step(self, step: int) -> None:
        """Hook after every turn: projections."""

    def diverged(self, loss: float) -> str:
        """Why this mean training loss means divergence, or "" where it does not."""


@runtime_checkable
class DataSet(Protocol):
    """Samples in three splits, on or streamed to one device."""

    sha256: str
    """Hash of content and split: results of different hashes are never compared."""
    verified: bool
    """False where the content was not recognised and `data.verify=off` accepted it."""
    sizes: Mapping[str, int]
    """Samples by split: "train", "validation", "test"."""
    tokens_per_sample: int
    """Tokens of one training sample; 0 where samples are no sequences of tokens."""
    facts: Mapping[str, Any]
    """What run.json says of the set besides: plain values, e.g. {"classes": 10}."""

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Endless training batches from batch number `first_step` on. Batch k depends on (seeds, batch_size, k)
        alone, so that a resumed run sees the same batches as one never interrupted."""

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Every sample of `split` once, in a fixed order, without augmentation; at most `limit` samples. "index" (B,)
        int64 is a sample's number in the split."""


class ImageData(DataSet, Protocol):
    """A DataSet of kind `images`: batches of "inputs" (B, C, H, W) float32 and "labels" (B,) int64 or, where images are
    mixed, shares (B, classes)."""

    sample_shape: tuple[int, ...]
    """Shape of one input, e.g. (3, 32, 32)."""
    classes: int
    """Number of classes."""
    mean: Tensor
    """Of each channel, (C, 1, 1) on the device, on the scale 0 to 1: inputs are (pixel - mean) / std."""
    std: Tensor
    """Standard deviation of each channel, likewise."""


@dataclass(frozen=True)
class Vocabulary:
    """The pieces that a tokenizer makes of text, numbered 0 .. size-1."""

    size: int
    """Number of pieces, special ones included."""
    pad: int
    """What fills up a sequence; also what T5's decoder starts from."""
    mask: int
    """What stands for a hidden piece."""
    end: int
    """What ends a document."""
    special: tuple[int, ...]
    """Every piece that stands for no text, the three above included."""
    counts: Tensor
    """Occurrences of each piece in the training part: int64 (size,) on the CPU."""
    byte_lengths: Tensor
    """Bytes of text that each piece stands for, 0 for special ones: int64 (size,) on the CPU."""
    decode: Callable[[Sequence[int]], str]
    """Text of a sequence of pieces, special ones left out."""


class TextData(DataSet, Protocol):
    """A DataSet of kind `text`: batches of "tokens" (B, sequence_length) int64, packed documents without padding, and
    "index" (B,) int64, in training the sample's position in the endless stream of samples."""

    vocabulary: Vocabulary
    sequence_length: int
    """Tokens of a sample."""


@dataclass(frozen=True)
class Parameter:
    """A trainable tensor, its qualified name and its role, one of ROLES."""

    name: str
    tensor: Tensor
    role: str


class Curvature(Protocol):
    """Second-order information about the mean loss of the present batch at the present parameters."""

    def sampled_gradients(self, thetas: Sequence[Tensor]) -> tuple[list[Tensor], int]:
        """Gradients of the mean loss at targets sampled from the model, and the number of terms of that mean."""

    def hessian_products(self, thetas: Sequence[Tensor], vectors: Sequence[Tensor]) -> list[Tensor]:
        """Hessian times vector for the mean loss, with `vectors` and the products shaped as `thetas`."""


@dataclass(frozen=True)
class Problem:
    """What an optimizer may know of the network it trains: named parameters with roles, the modules, and curvature
    where it declares that it needs it."""

    parameters: tuple[Parameter, ...]
    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    curvature: Curvature | None = None


class OptimizerFactory(Protocol):
    """Builds an optimizer for a problem from hyperparameters; every one of them is given."""

    def __call__(self, problem: Problem, **hyperparameters: Any) -> torch.optim.Optimizer: ...


class Sink(Protocol):
    """Where records go: the store, the terminal, a tracker."""

    def start(self, run: Mapping[str, Any]) -> None:
        """Called once with the contents of run.json."""

    def log(self, record: Record) -> None:
        """Called for each record, outside the timed phases."""

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Called once with the contents of result.json, or None where the run was interrupted."""


class Ranks(Protocol):
    """The processes that share a run, seen from one of them (optbench/distributed/communicator.py). Whatever is exchanged is
    asked for by all of them in the same order."""

    rank: int
    """This process's number; 0 is the one that writes."""
    count: int
    """How many there are."""

    def share(self, batch: Batch) -> Batch:
        """This rank's samples of a batch."""

    def begin_step(self, step: int) -> None:
        """What `private` numbers depend on: the step,"""

    def begin_turn(self) -> None:
        """and the turn in it."""

    def private(self) -> AbstractContextManager[None]:
        """Random numbers of this rank's own for the length of a block."""

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sums over ranks, in place."""

    def totals(self, *values: Any) -> list[Tensor]:
        """Sums over ranks of a few numbers."""

    def told(self, thing: Any) -> Any:
        """What rank 0 says."""

    def copied(self, tensors: Iterable[Tensor]) -> None:
        """Rank 0's values in place of this rank's."""

    def raise_if_lost(self, error: BaseException) -> None:
        """Raise that a rank is gone, where an error comes of that."""

    def dealt(self, work: Callable[[Any], Mapping[str, Any]], items: Iterable[Any]) -> list[Mapping[str, Any]]:
        """`work` on each item, the items dealt out over ranks; all have every answer, in the items' order."""


class Shards(Protocol):
    """The parameters of a network that lie in parts on several ranks, seen from one of them
    (optbench/distributed/sharding.py). An optimizer trains plain tensors in their place."""

    def forget(self) -> None:
        """No gradient any more."""

    def take(self, count: Tensor) -> None:
        """Give what the optimizer trains its gradients: sums over all ranks, divided by `count`."""

    def drop_empty(self) -> None:
        """Take the gradient from what has no elements here, before the optimizer's step."""

    def put(self) -> None:
        """What the optimizer has changed becomes the network's."""

    def state_of(self, optimizer: Any) -> Any:
        """The optimizer's state for a checkpoint."""

    def load(self, module: nn.Module, optimizer: Any, state: Mapping[str, Any]) -> None:
        """Give the network and its optimizer the "module" and "optimizer" of a checkpoint."""

    def norms(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norms of whole tensors, of which each rank has a part, shape (len(tensors),)."""

    def joint_norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """L2 norm of all of them together, a scalar."""

    def anywhere(self, flag: Tensor) -> Tensor:
        """Whether a flag is true on any rank."""


class DataSource(Protocol):
    """A data set before its samples are loaded, built from the keyword arguments of its YAML file."""

    def locate(self, root: Path) -> Path | None:
        """The folder (or file) that holds the set, normally under `root`; None where it is absent."""

    def get(self, root: Path, progress: Callable[[str, float], None]) -> Path:
        """Fetch the set into `root`, calling `progress(what, fraction)`; returns where it lies.
        Raises MissingError with the command or folder that would help."""

    def verify(self, root: Path) -> list[str]:
        """Differences from the published checksums, one line each; empty where all agree."""

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """The samples, ready to be drawn. Raises MissingError where the set is absent or not recognised."""
