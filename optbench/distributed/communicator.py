"""Collective operations of the ranks of one run, by torch.distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from optbench.contracts import Batch, Evaluation
from optbench.counter_rng import mixed_seed, seed_torch
from optbench.distributed.failures import FailureReports, is_communication_error
from optbench.distributed.rank_info import RankInfo
from optbench.distributed.values import from_bytes, to_bytes
from optbench.distributed.watcher import Watcher, abort_group, allow_abort
from optbench.errors import ConfigError
from optbench.training.seeding import restore_torch_random_state, torch_random_state

BUCKET_BYTES = 32 * 2**20  # of gradients reduced together
TIMEOUT = timedelta(hours=2)  # one rank may tokenise or download data while the others wait

T = TypeVar("T")


class TorchCommunicator:
    """A `training.parallel.Communicator` on a process group of torch.

    All ranks call the collective methods in the same order. If a rank fails, they raise its error or RankLost."""

    _watcher: Watcher | None = None

    def __init__(self, rank_info: RankInfo, device: torch.device, seed: int, store: Store, strategy: str) -> None:
        self.rank, self.world_size, self.device = rank_info.rank, rank_info.world_size, device
        self.seed, self.strategy = seed, strategy
        self.sharded = strategy == "fsdp"
        self.failures = FailureReports(self.rank, self.world_size, store)
        self._step = self._turn = 0
        if device.type == "cuda":
            allow_abort()
        with self._collective():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=PrefixStore("optbench", store),
                rank=self.rank,
                world_size=self.world_size,
                timeout=TIMEOUT,
            )
        if device.type == "cuda":
            self._watch(abort_group)

    def _watch(self, abort: Callable[[], None]) -> None:
        """Let a thread call `abort` when a rank is lost. It has a connection of its own to the store."""
        reports = FailureReports(self.rank, self.world_size, self.failures.store.clone())
        self._watcher = Watcher(lambda: bool(self.failures.lost_helper()) or reports.is_reported(), abort)

    def close(self) -> None:
        """Leave the process group."""
        if self._watcher is not None:
            self._watcher.stop()
        if dist.is_initialized():
            dist.destroy_process_group()

    # -- local samples and random numbers ----------------------------------------------------------------------------

    def local_batch(self, batch: Batch) -> Batch:
        """Return this rank's samples of a global batch: consecutive ones, at most one more than on any other rank."""
        own = self.local_slice(len(next(iter(batch.values()))))
        return {name: tensor[own] for name, tensor in batch.items()}

    def local_slice(self, size: int) -> slice:
        """Return this rank's slice of a batch of `size` samples."""
        each, more = divmod(size, self.world_size)
        first = self.rank * each + min(self.rank, more)
        return slice(first, first + each + (self.rank < more))

    def begin_step(self, step: int) -> None:
        """Set the step that seeds `rank_rng`."""
        self._step, self._turn = step, 0

    def begin_turn(self) -> None:
        """Count a turn of the step; it seeds `rank_rng` too."""
        self._turn += 1

    @contextmanager
    def rank_rng(self) -> Iterator[None]:
        """Seed torch by (seed, step, turn, rank) inside the block, and restore the common random state after it."""
        state = torch_random_state(self.device)
        seed = mixed_seed(mixed_seed(mixed_seed(self.seed, self._step), self._turn), self.rank)
        seed_torch(seed)
        try:
            yield
        finally:
            restore_torch_random_state(state, self.device)

    # -- collectives -------------------------------------------------------------------------------------------------

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over ranks, in place."""
        with self._collective(), torch.no_grad():
            sent = [(bucket, *start_all_reduce(bucket)) for bucket in buckets(tensors)]
            for bucket, flat, work in sent:
                work.wait()
                parts = flat.split([tensor.numel() for tensor in bucket])
                torch._foreach_copy_(  # pyright: ignore[reportPrivateImportUsage]  # torch has no public name
                    bucket, [p.view(t.shape) for p, t in zip(parts, bucket, strict=True)]
                )

    def sum_scalars(self, *values: Tensor | float) -> list[Tensor]:
        """Return the sum over ranks of each value, as float64 scalars on the device."""
        row = torch.stack([torch.as_tensor(value, device=self.device).detach().double() for value in values])
        self.all_reduce([row])
        return list(row)

    def max_over_ranks(self, *values: int) -> list[int]:
        """Return the maximum over ranks of each integer, without waiting for the device."""
        row = torch.tensor(values, dtype=torch.int64)
        with self._collective():
            dist.all_reduce(row, dist.ReduceOp.MAX)
        return row.tolist()

    def min_over_ranks(self, *values: int) -> list[int]:
        """Return the minimum over ranks of each integer, without waiting for the device."""
        return [-value for value in self.max_over_ranks(*(-value for value in values))]

    def broadcast(self, value: T) -> T:
        """Return rank 0's value on every rank: plain data, tensors on the CPU, or paths."""
        content = to_bytes(value) if self.rank == 0 else torch.empty(0, dtype=torch.uint8)
        (length,) = self.max_over_ranks(len(content))
        content = content if self.rank == 0 else content.new_empty(length)
        with self._collective():
            dist.broadcast(content, 0)
        return value if self.rank == 0 else cast("T", from_bytes(content))

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all ranks, by rank; as `broadcast` takes them."""
        content = to_bytes(value)
        (longest,) = self.max_over_ranks(len(content))
        padded = torch.cat([content, content.new_zeros(longest - len(content))])
        gathered = [torch.empty_like(padded) for _ in range(self.world_size)]
        with self._collective():
            dist.all_gather(gathered, padded)
        return [cast("T", from_bytes(one)) for one in gathered]

    def all_to_all(self, sent: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Send `sent[rank]` to each rank; return what each rank sent here, `sizes[rank]` elements. All are 1-D."""
        whole = torch.cat(list(sent))
        received = whole.new_empty(sum(sizes))
        with self._collective():
            dist.all_to_all_single(received, whole, list(sizes), [len(part) for part in sent])
        return list(received.split(list(sizes)))

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Copy rank 0's values into the tensors of every rank."""
        with self._collective(), torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def rank_zero_first(self, work: Callable[[], T]) -> T:
        """Call `work` on rank 0, then on the other ranks, which find the files that rank 0 has written."""
        if self.rank:
            self.max_over_ranks(0)
            return work()
        found = work()
        self.max_over_ranks(0)
        return found

    def map_over_ranks(self, work: Callable[[Batch], Evaluation], batches: Iterable[Batch]) -> list[Evaluation]:
        """Return `work(batch)` for each batch, in order, on every rank; each rank computes a part of them.

        With a sharded network all ranks call `work` equally often, because each needs the others' shards."""
        own: list[Evaluation] = []
        count, last = 0, None
        for last in batches:
            if count % self.world_size == self.rank:
                own.append(moved_to(work(last), torch.device("cpu")))
            count += 1
        if self.sharded and last is not None and len(own) * self.world_size < count:
            work(last)  # only so that the other ranks get this one's shards
        gathered = self.all_gather(own)
        rounds = max(map(len, gathered))
        return [moved_to(some[i], self.device) for i in range(rounds) for some in gathered if i < len(some)]

    def require_equal(self, facts: Mapping[str, object]) -> None:
        """Raise ConfigError if another rank's facts (e.g. versions, data, weights) differ from rank 0's."""
        first, *others = self.all_gather(dict(facts))
        for rank, other in enumerate(others, 1):
            for name, value in other.items():
                if value != first[name]:
                    raise ConfigError(f"{name} of rank {rank} is {value}, but that of rank 0 is {first[name]}")

    # -- failures ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _collective(self) -> Iterator[None]:
        self.require_all()
        try:
            yield
        except (RuntimeError, ValueError) as error:  # gloo and nccl raise the first, torch the other after an abort
            if isinstance(error, ValueError) and not self._has_aborted:
                raise
            raise self.failures.explain(error) from error
        self.require_all()

    @property
    def _has_aborted(self) -> bool:
        return self._watcher is not None and self._watcher.has_aborted

    def require_all(self) -> None:
        """Raise RankLost, or another rank's error, if a rank is lost and blocked collectives were ended for it."""
        if self._has_aborted:
            raise self.failures.explain(RuntimeError("its collectives were aborted"))

    def raise_if_lost(self, error: BaseException) -> None:
        """Raise RankLost, or another rank's error, if `error` comes from a collective outside these methods.

        FSDP2 and synchronised batch norms call such collectives."""
        if self._has_aborted or (isinstance(error, RuntimeError) and is_communication_error(error)):
            raise self.failures.explain(error) from error


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield consecutive tensors of one dtype, up to BUCKET_BYTES together."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or size + tensor.nbytes > BUCKET_BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def start_all_reduce(bucket: Sequence[Tensor]) -> tuple[Tensor, dist.Work]:
    """Start summing a bucket over ranks; return it as one flat tensor, and the handle to wait for."""
    flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
    work = dist.all_reduce(flat, async_op=True)
    assert work is not None  # this process is in the group
    return flat, work


def moved_to(evaluation: Evaluation, device: torch.device) -> Evaluation:
    """Return an evaluation with its tensors on a device."""

    def move(value: Tensor | int) -> Tensor | int:
        return value.to(device) if isinstance(value, Tensor) else value

    return {
        name: tuple(move(part) for part in value) if isinstance(value, tuple) else move(value)
        for name, value in evaluation.items()
    }  # type: ignore[return-value]  # pairs stay pairs
