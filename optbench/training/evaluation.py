"""Evaluation of a task on a split, at the optimizers' evaluation weights."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from optbench.contracts import Batch, DataSet, Evaluation, Task
from optbench.optimizers.core.eval_weights import batch_norms, eval_weights, evaluation_mode, has_eval_weights
from optbench.training.parallel import Communicator
from optbench.training.player import ActivePlayer, samples_of
from optbench.training.seeding import preserve_state, restore_torch_random_state, torch_random_state

if TYPE_CHECKING:
    import numpy as np

REFRESH_BATCHES = 20  # training batches that re-estimate batch statistics for evaluation weights


class Evaluator:
    """Evaluates the players of a task on the splits of its data."""

    def __init__(
        self,
        task: Task,
        data: DataSet,
        players: Mapping[str, ActivePlayer],
        *,
        batch_size: int,
        refresh_batch_size: int,
        device: torch.device,
        comm: Communicator | None = None,
    ) -> None:
        self.task, self.data, self.players, self.device = task, data, players, device
        self.batch_size, self.refresh_batch_size, self.comm = batch_size, refresh_batch_size, comm

    def scores(self, source: str, limit: int | None = None) -> Mapping[str, float]:
        """Return "loss", "metric" and the task's other scores on at most `limit` samples of a split."""
        with self._eval_weights(), self._eval_mode():
            return self._score(self.data.eval_batches(source, self.batch_size, limit))

    def scores_and_pictures(self, source: str) -> tuple[Mapping[str, float], Mapping[str, np.ndarray]]:
        """Return the scores on a split, and the task's pictures at the same weights."""
        with self._eval_weights(), self._eval_mode():
            scores = self._score(self.data.eval_batches(source, self.batch_size))
            with preserve_state(self._modules, self.device):
                return scores, self.task.pictures()

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return copies of the evaluation weights, with their buffers, of the players that have their own."""
        own = [name for name, player in self.players.items() if has_eval_weights(player.optimizer)]
        if not own:
            return {}
        with self._eval_weights(), self._eval_mode():
            states = {name: self.players[name].module.state_dict() for name in own}
            return {name: {key: t.detach().clone() for key, t in state.items()} for name, state in states.items()}

    def warm_up(self, source: str) -> None:
        """Evaluate one batch, so that models compile now and not in the first evaluation."""
        with self._eval_mode():
            for batch in self.data.eval_batches(source, self.batch_size, self.batch_size):
                self.task.evaluate(batch)

    def _score(self, batches: Iterable[Batch]) -> Mapping[str, float]:
        if self.comm is None:
            return self.task.score(gather(self.task.evaluate(batch) for batch in batches))
        gathered = gather(self.comm.map_over_ranks(self.task.evaluate, batches))
        return self.comm.broadcast(self.task.score(gathered) if self.comm.rank == 0 else {})

    @property
    def _modules(self) -> list[nn.Module]:
        return [player.module for player in self.players.values()]

    @contextmanager
    def _eval_mode(self) -> Iterator[None]:
        with evaluation_mode(self._modules), torch.no_grad(), next(iter(self.players.values())).autocast:
            yield

    @contextmanager
    def _eval_weights(self) -> Iterator[None]:
        if self.comm is not None:  # local batch statistics differ by rank; evaluation uses rank 0's
            self.comm.broadcast_tensors(buffer for module in self._modules for buffer in module.buffers())
        with ExitStack() as stack:
            for player in self.players.values():
                stack.enter_context(
                    eval_weights(player.optimizer, player.module, self._refresh_statistics, player.sync_shards)
                )
            yield

    @torch.no_grad()
    def _refresh_statistics(self, module: nn.Module) -> None:
        """Re-estimate batch statistics at the evaluation weights, from a fixed set of training samples."""
        state = torch_random_state(self.device)
        norms = batch_norms(module)
        limit = REFRESH_BATCHES * self.refresh_batch_size
        with evaluation_mode([other for other in self._modules if other is not module]), plain_means(norms):
            for batch in self.data.eval_batches("train", self.refresh_batch_size, limit):
                self._record_statistics(norms, batch)
        restore_torch_random_state(state, self.device)

    def _record_statistics(self, norms: Sequence[nn.Module], batch: Batch) -> None:
        """Evaluate a batch in training mode; leave out a last batch of one sample that a batch norm cannot use."""
        copies = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
        try:
            self.task.evaluate(batch)
        except ValueError:
            if samples_of(batch) > 1 or self.refresh_batch_size == 1:
                raise
            for buffer, copy in copies:  # norms before the one that failed have recorded it
                buffer.copy_(copy)


@contextmanager
def plain_means(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let batch norms record the plain means of their batches from here on, each batch weighing the same.

    `momentum = None` means the same, but then torch reads its count of batches from the device at every call. Compiled
    code would be made again for every weight."""
    momenta = [norm.momentum for norm in norms]
    calls = dict.fromkeys(norms, 0)

    def weigh(norm: nn.Module, inputs: object) -> None:
        assert isinstance(norm, _BatchNorm)
        calls[norm] += 1
        norm.momentum = 1 / calls[norm]

    with ExitStack() as stack:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.reset_running_stats()
            stack.callback(setattr, norm, "momentum", momentum)
            stack.callback(norm.register_forward_pre_hook(weigh).remove)
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and it takes seconds to load
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def gather(evaluations: Iterable[Evaluation]) -> dict[str, Tensor]:
    """Return the means of (sum, count) pairs over several batches, and the concatenated rows of plain tensors.

    The means are on the CPU, which waits for them once; the rows stay on their device."""
    sums: dict[str, Tensor | float] = {}
    counts: dict[str, Tensor | int] = {}
    rows: dict[str, list[Tensor]] = {}
    for evaluation in evaluations:
        for name, value in evaluation.items():
            if isinstance(value, Tensor):
                rows.setdefault(name, []).append(value)
                continue
            total, count = value
            sums[name], counts[name] = sums.get(name, 0.0) + total, counts.get(name, 0) + count
    means = {name: torch.as_tensor(sums[name]).double() / counts[name] for name in sums}
    return on_cpu(means) | {name: torch.cat(found) for name, found in rows.items()}


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float64 tensors on the CPU; those from the device are copied as one."""
    far = {name: tensor for name, tensor in tensors.items() if tensor.device.type != "cpu"}
    if not far:
        return dict(tensors)
    joined = torch.cat([tensor.flatten() for tensor in far.values()]).cpu()
    parts = joined.split([tensor.numel() for tensor in far.values()])
    near = {name: part.view(tensor.shape) for (name, tensor), part in zip(far.items(), parts, strict=True)}
    return {name: near.get(name, tensor) for name, tensor in tensors.items()}
