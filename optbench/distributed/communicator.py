"""What the ranks of a run say to each other."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from optbench.contracts import Batch
from optbench.counter_rng import mixed_seed
from optbench.distributed.rank_info import RankInfo
from optbench.errors import ConfigError, OptbenchError, RankLost, first_line
from optbench.training.seeding import restore_torch_random_state, torch_random_state

BUCKET_BYTES = 32 * 2**20  # of gradients that travel together
PATIENCE = timedelta(hours=2)  # with a rank that is late: one may tokenise or download what the others wait for
REPORT_SECONDS = 3.0  # that the report of a failed rank may come after its connection is gone
FAILURE = "optbench/failure"  # key of the store


class Communicator:
    """The ranks of a run, seen from one of them. Every method of the exchange is called by all of them in the
    same order; RankLost, or the error that another rank reports, where one is gone."""

    def __init__(self, rank_info: RankInfo, device: torch.device, seed: int, store: Any, strategy: str = "ddp") -> None:
        self.rank, self.world_size, self.device = rank_info.rank, rank_info.world_size, device
        self.seed, self.store, self.strategy = seed, store, strategy
        self.sharded = strategy == "fsdp"
        self.fate: Callable[[], str] = lambda: ""  # what became of the others, where this process started them
        self._step = self._turn = 0
        with self._exchange():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
                store=dist.PrefixStore("optbench", store),
                rank=self.rank,
                world_size=self.world_size,
                timeout=PATIENCE,
            )

    def close(self) -> None:
        """Leave the others."""
        if dist.is_initialized():
            dist.destroy_process_group()

    # -- shares ------------------------------------------------------------------------------------------------------

    def local_batch(self, batch: Batch) -> Batch:
        """This rank's samples of a global batch: a run of neighbours; the first ranks have one more where it does not
        divide evenly."""
        own = self.local_slice(len(next(iter(batch.values()))))
        return {name: tensor[own] for name, tensor in batch.items()}

    def local_slice(self, size: int) -> slice:
        """Which of so many samples are this rank's."""
        each, more = divmod(size, self.world_size)
        first = self.rank * each + min(self.rank, more)
        return slice(first, first + each + (self.rank < more))

    def begin_step(self, step: int) -> None:
        """The step that is at hand: what `private` numbers depend on."""
        self._step, self._turn = step, 0

    def begin_turn(self) -> None:
        """The next turn of the step."""
        self._turn += 1

    @contextmanager
    def rank_rng(self) -> Iterator[None]:
        """Random numbers of this rank's own, the same whenever a turn is evaluated again; then the common ones."""
        state = torch_random_state(self.device)
        seed = mixed_seed(mixed_seed(mixed_seed(self.seed, self._step), self._turn), self.rank)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            restore_torch_random_state(state, self.device)

    # -- exchange ----------------------------------------------------------------------------------------------------

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Sums over ranks, in place."""
        with self._exchange(), torch.no_grad():
            sent = [(bucket, *begun(bucket)) for bucket in buckets(tensors)]
            for bucket, flat, work in sent:
                work.wait()
                parts = flat.split([tensor.numel() for tensor in bucket])
                torch._foreach_copy_(bucket, [p.view(t.shape) for p, t in zip(parts, bucket, strict=True)])

    def sum_scalars(self, *values: Any) -> list[Tensor]:
        """Sums over ranks of a few numbers, as float64 scalars on the device."""
        row = torch.stack([torch.as_tensor(value, device=self.device).detach().double() for value in values])
        self.all_reduce([row])
        return list(row)

    def max_over_ranks(self, *values: int) -> list[int]:
        """The largest over ranks of each integer; the device is not waited for."""
        row = torch.tensor(values, dtype=torch.int64)
        with self._exchange():
            dist.all_reduce(row, dist.ReduceOp.MAX)
        return row.tolist()

    def min_over_ranks(self, *values: int) -> list[int]:
        """The smallest likewise."""
        return [-value for value in self.max_over_ranks(*(-value for value in values))]

    def broadcast(self, thing: Any) -> Any:
        """What rank 0 says, to all: anything that pickles, tensors on the CPU."""
        box = [thing if self.rank == 0 else None]
        with self._exchange():
            dist.broadcast_object_list(box, 0)
        return box[0]

    def all_gather(self, thing: Any) -> list[Any]:
        """What each rank says, in their order."""
        box: list[Any] = [None] * self.world_size
        with self._exchange():
            dist.all_gather_object(box, thing)
        return box

    def all_to_all(self, sent: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """What every rank sends this one; `sent` and the elements to come, `sizes`, are by rank, one dimension each."""
        whole = torch.cat(list(sent))
        came = whole.new_empty(sum(sizes))
        with self._exchange():
            dist.all_to_all_single(came, whole, list(sizes), [len(part) for part in sent])
        return list(came.split(list(sizes)))

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Rank 0's values in place of this rank's."""
        with self._exchange(), torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def rank_zero_first(self, work: Callable[[], Any]) -> Any:
        """Let rank 0 do something first, then the others: what it leaves on disk is there for them."""
        found = work() if self.rank == 0 else None
        self.max_over_ranks(0)
        return found if self.rank == 0 else work()

    def map_over_ranks(self, work: Callable[[Any], Mapping[str, Any]], items: Iterable[Any]) -> list[Mapping[str, Any]]:
        """`work` on each item, the items dealt out over ranks; every rank has all the answers, in the items' order. Of
        a sharded network all ranks work as often, since each needs the others' parts."""
        own, number = [], -1
        for number, item in enumerate(items):
            if number % self.world_size == self.rank:
                own.append(moved(work(item), "cpu"))
        if self.sharded and number >= 0 and len(own) * self.world_size <= number:
            work(item)  # for the others' sake alone
        piles = self.all_gather(own)
        rounds = max(map(len, piles))
        return [moved(pile[at], self.device) for at in range(rounds) for pile in piles if at < len(pile)]

    def require_equal(self, facts: Mapping[str, Any]) -> None:
        """ConfigError where another rank has another version, other data or other weights than rank 0."""
        everyone = self.all_gather(dict(facts))
        for rank, other in enumerate(everyone):
            for name, value in other.items():
                if value != everyone[0][name]:
                    first = everyone[0][name]
                    raise ConfigError(f"{name} of rank {rank} is {value}, and that of rank 0 is {first}")

    # -- failures ----------------------------------------------------------------------------------------------------

    def report(self, error: BaseException) -> None:
        """Leave word of what this rank fails of, for the others."""
        kept = error if isinstance(error, OptbenchError) else None
        words = pickle.dumps((self.rank, kept, f"{type(error).__name__}: {first_line(error)}"))
        try:
            self.store.compare_set(FAILURE, "", words)
        except Exception:  # the store is gone, and rank 0 with it
            return

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo's and nccl's errors are such
            raise self._loss(error) from error

    def raise_if_lost(self, error: BaseException) -> None:
        """Raise what an error means that comes from an exchange which is not one of these methods: of a network whose
        parts are gathered, or a norm that is synchronised. Other errors are the run's own."""
        if isinstance(error, RuntimeError) and is_of_exchange(error):
            raise self._loss(error) from error

    def _loss(self, error: RuntimeError) -> Exception:
        """What a failed exchange means: the error that a rank reported, or a rank that is gone without a word."""
        until = time.monotonic() + REPORT_SECONDS
        while True:
            gone, reported = self.fate(), self._reported()
            if reported is not None:
                return reported
            if gone or time.monotonic() > until:
                words = gone or f"another of the {self.world_size} ranks is gone ({first_line(error)[-80:]})"
                return RankLost(words, "The same command goes on from the last checkpoint")
            time.sleep(0.05)

    def _reported(self) -> Exception | None:
        try:
            if not self.store.check([FAILURE]):
                return None
            rank, kept, words = pickle.loads(self.store.get(FAILURE))
        except Exception:  # the store is gone, or the report was never whole
            return None
        return kept or RuntimeError(f"rank {rank}: {words}")


def is_of_exchange(error: RuntimeError) -> bool:
    """Whether torch's communication raised it; gloo's errors have no type of their own."""
    return isinstance(error, dist.DistError) or "gloo/" in str(error) or "Connection closed by peer" in str(error)


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type, up to BUCKET_BYTES together."""
    bucket: list[Tensor] = []
    held = 0
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or held + tensor.nbytes > BUCKET_BYTES):
            yield bucket
            bucket, held = [], 0
        bucket.append(tensor)
        held += tensor.nbytes
    if bucket:
        yield bucket


def begun(bucket: Sequence[Tensor]) -> tuple[Tensor, Any]:
    """A bucket in one piece, whose sum over ranks has begun."""
    flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
    return flat, dist.all_reduce(flat, async_op=True)


def moved(tree: Any, device: Any) -> Any:
    """A mapping's values on a device: tensors, and tuples of tensors and numbers."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, tuple):
        return tuple(moved(part, device) for part in tree)
    return {name: moved(value, device) for name, value in tree.items()} if isinstance(tree, Mapping) else tree
