"""Optimizer steps of one player: a network with its optimizer and clip.

Gradients are computed first (micro-batches accumulated, unscaled, clipped). Then the optimizer is called, and the first
call of its closure returns that result. Later calls (SAM, L-BFGS, line search) evaluate the same batch again with the
same random state and frozen batch statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from optbench.clipping import Clip, ClipReport, gradient_norm
from optbench.contracts import Batch, Turn
from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import frozen_statistics
from optbench.optimizers.core.inner_state import full_state, load_full_state
from optbench.optimizers.core.interface import Optimizer, requires_closure, takes_closure
from optbench.optimizers.core.rates import peak_rates, set_rates
from optbench.training.algebra_failures import Diverged, algebra_failures_named
from optbench.training.clock import BACKWARD, FORWARD, LOGGING, OPTIMIZER, Clock
from optbench.training.curvature import BatchCurvature, micro_batches, split_evenly
from optbench.training.parallel import Communicator, Shards
from optbench.training.plan import State
from optbench.training.seeding import restore_torch_random_state, torch_random_state

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ActivePlayer:
    """Takes the optimizer steps of one player, and measures them."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        clip: Clip,
        *,
        needs: list[str],
        precision: str,
        micro_batch: int | None,
        device: torch.device,
        clock: Clock,
        curvature: BatchCurvature | None = None,
        lr_factor: float = 1.0,
        task_modules: Sequence[nn.Module] = (),
        comm: Communicator | None = None,
        shards: Shards | None = None,
    ) -> None:
        self.module, self.optimizer, self.clip = module, optimizer, clip
        self.task_modules = list(task_modules) or [module]
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.peaks = peak_rates(optimizer, lr_factor)
        self.micro_batch, self.device, self.clock = micro_batch, device, clock
        self.autocast = autocast(precision, device)
        self.curvature, self.comm, self.shards = curvature, comm, shards
        # forward passes wait for the other ranks, for their shards or batch statistics
        self.ranks_in_step = shards is not None or any(
            isinstance(part, nn.SyncBatchNorm) for network in self.task_modules for part in network.modules()
        )
        self.scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.reevaluates = "closure" in needs
        self.differentiable = "double_backward" in needs and curvature is None  # its step differentiates the gradients
        self.passes_closure = ("closure" in needs and takes_closure(optimizer)) or requires_closure(optimizer)
        self._mean_weights: dict[int, Tensor] = {}
        self.gradients_together: Callable[[Turn], Tensor] | None = None
        """Replaces `gradients` in a step where several runs compute theirs together."""
        self.gradient_evaluations = 0
        self._one, self.skipped_steps = torch.ones((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.clip_sums = torch.zeros(3, dtype=torch.float64, device=device)  # clipped, 1 - scale, count
        self.reset_meters()

    def reset_meters(self) -> None:
        """Begin a new interval between two train records."""
        self.loss_sum.zero_()  # the same tensors all the time, since a CUDA graph adds to them
        self.clip_sums.zero_()
        self.steps = 0
        self.measured: dict[str, Tensor | float] = {}

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self, turn: Turn, factor: float, measure: bool) -> None:
        """Take one optimizer step at `factor` times the peak learning rate; `measure` adds norms."""
        self.clock.to(OPTIMIZER)
        set_rates(self.optimizer, self.peaks, factor)
        self.take(turn, measure)

    def take(self, turn: Turn, measure: bool) -> None:
        """Take one optimizer step at the current learning rate."""
        if self.comm is not None:
            self.comm.begin_turn()
        if self.curvature is not None:
            self.curvature.turn = turn
        self._random_state = torch_random_state(self.device) if self.reevaluates else None
        loss = (self.gradients_together or self.gradients)(turn)
        self.clock.to(OPTIMIZER)
        clipped = self._clip(first=True)
        before = self._measure_before(clipped) if measure else None
        self._try_update(turn, loss)
        if before is not None:
            self._measure_after(before)
        if self.curvature is not None:
            self.gradient_evaluations += self.curvature.evaluations
            self.curvature.evaluations, self.curvature.turn = 0, None
        self.loss_sum += loss
        self.steps += 1

    def gradients(self, turn: Turn) -> Tensor:
        """Compute the gradients of the mean loss over the whole batch, and return that loss, detached."""
        self.zero_grad()
        self.gradient_evaluations += 1
        if self.comm is not None:
            with self.comm.rank_rng():
                return self._accumulate(turn)
        if self.micro_batch is None:
            return self._full_batch(turn)
        return self._accumulate(turn)

    @contextmanager
    def unmeasured(self) -> Iterator[None]:
        """Leave clock and counts alone within a block, and drop its gradients at the end."""
        clock, evaluations = self.clock, self.gradient_evaluations
        self.clock = Clock()
        try:
            yield
        finally:  # the FLOP counter may raise
            self.clock, self.gradient_evaluations = clock, evaluations
            self.zero_grad()

    def zero_grad(self) -> None:
        """Set every gradient to None."""
        for parameter in self.parameters:
            parameter.grad = None
        if self.shards is not None:
            self.shards.zero_grad()

    def _full_batch(self, turn: Turn) -> Tensor:
        self.clock.to(FORWARD)
        with self.autocast:
            total, count = turn.loss(turn.batch)
        self.clock.to(BACKWARD)
        weight = self._mean_weight(count, total)
        self._backward(total, weight)
        return total.detach() * weight

    def _mean_weight(self, count: Tensor | int, total: Tensor) -> Tensor:
        """Return 1 / count, the gradient of the mean by the sum; cheaper than a division in the graph."""
        if isinstance(count, Tensor):
            return (1 / count).to(total.dtype)
        if count not in self._mean_weights:
            self._mean_weights[count] = torch.full_like(total, 1 / count, requires_grad=False)
        return self._mean_weights[count]

    def _accumulate(self, turn: Turn) -> Tensor:
        """Add up gradients of sums over micro-batches and ranks, and divide them once by the total count."""
        loss_sum: Any = 0.0
        count_sum: Any = 0
        for micro in self._micro_batches(turn.batch):
            self.clock.to(FORWARD)
            with self.autocast:
                total, count = turn.loss(micro)
            self.clock.to(BACKWARD)
            self._backward(total, None)
            loss_sum = loss_sum + total.detach()
            count_sum = count_sum + count
        if self.comm is not None:
            kind = loss_sum.dtype
            loss_sum, count_sum = (total.to(kind) for total in self.comm.sum_scalars(loss_sum, count_sum))
        self._divide_gradients(count_sum)
        return loss_sum / count_sum

    def _micro_batches(self, batch: Batch) -> Iterator[Batch]:
        """Yield the micro-batches of this rank's batch; equally many on all ranks if they wait for each other."""
        size = self.micro_batch or samples_of(batch)
        if self.comm is None or not self.ranks_in_step:
            return micro_batches(batch, size)
        return split_evenly(batch, self.comm.max_over_ranks(-(-samples_of(batch) // size))[0])

    def _divide_gradients(self, count: Tensor | int) -> None:
        """Turn gradients of sums into those of means over the global batch."""
        if self.shards is not None:
            self.clock.to(OPTIMIZER)  # gathering whole tensors is a cost of the optimizers that need them
            self.shards.collect_gradients(count)
            return
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.comm is not None:
            self.comm.all_reduce(gradients)
        for gradient in gradients:
            gradient.div_(count)

    def _backward(self, loss: Tensor, gradient: Tensor | None) -> None:
        if not loss.requires_grad:
            raise ConfigError(
                "the loss has no gradient: it does not depend on the trained parameters",
                "detach(), torch.no_grad(), item() and numpy() in the model or the loss cut gradients off",
            )
        scaled = self.scaler.scale(loss) if self.scaler else loss
        if not self.differentiable:
            scaled.backward(gradient)
            return
        found = torch.autograd.grad(scaled, self.parameters, gradient, create_graph=True, allow_unused=True)
        for parameter, one in zip(self.parameters, found, strict=True):
            if one is not None:
                parameter.grad = one if parameter.grad is None else parameter.grad + one

    def _clip(self, first: bool) -> ClipReport:
        """Clip the current gradients; only the `first` ones of a step update running statistics."""
        if self.scaler:
            self.scaler.unscale_(self.optimizer)  # pyright: ignore[reportArgumentType]  # typed for torch's class
        report = self.clip(self.parameters, first)
        if report.norm is not None and report.clipped is not None and report.scale is not None:
            scale = report.scale
            counted = torch.stack([report.clipped.to(scale.dtype), 1 - scale, torch.ones_like(scale)])
            # gradients that are not finite, which fp16 skips, have no scale
            self.clip_sums += torch.where(report.norm.isfinite(), counted, 0.0)
        return report

    def _try_update(self, turn: Turn, loss: Tensor) -> None:
        """Take the step. Raises Diverged where its linear algebra fails; ranks with shards see NaN, all together."""
        try:
            with algebra_failures_named(self.module):
                self._update(turn, loss)
        except Diverged:
            if self.shards is None:
                raise
            for parameter in self.parameters:
                parameter.detach().fill_(torch.nan)
            self.sync_shards()

    def _update(self, turn: Turn, loss: Tensor) -> None:
        if self.shards is not None:
            self.shards.drop_empty_gradients()
        if self.scaler:
            before = self.scaler.scale(self._one)
            self.scaler.step(self.optimizer)  # pyright: ignore[reportArgumentType]
            self.scaler.update()
            self.skipped_steps += self.scaler.scale(self._one) < before  # on the device: nothing waits for it
        elif self.passes_closure:
            self.optimizer.step(self._closure(turn, loss))
        else:
            self.optimizer.step()
        self.sync_shards()

    def sync_shards(self) -> None:
        """Copy updated values from the optimizer's tensors into the module, if it is sharded."""
        if self.shards is not None:
            self.shards.sync_to_module()

    def _closure(self, turn: Turn, first: Tensor) -> Callable[[], Tensor]:
        pending = [first]
        return lambda: pending.pop() if pending else self._reevaluate(turn)

    def _reevaluate(self, turn: Turn) -> Tensor:
        """Compute loss and gradients of the same batch at the parameters' current values."""
        if self._random_state is None:
            raise ConfigError(
                "the optimizer evaluates its closure twice",
                "Declare it in its class or file: about.needs: [closure]",
            )
        with frozen_statistics(*self.task_modules):
            restore_torch_random_state(self._random_state, self.device)
            loss = self.gradients(turn)
        self.clock.to(OPTIMIZER)
        self._clip(first=False)
        return loss

    # -- measurements ------------------------------------------------------------------------------------------------

    def _measure_before(self, clipped: ClipReport) -> list[Tensor]:
        with self.clock.during(LOGGING), torch.no_grad():
            # the norm before clipping; a clip that reports none has not changed the gradients
            norm = clipped.norm
            self.measured["grad_norm"] = norm if norm is not None else gradient_norm(self.parameters, self.shards)
            return [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def _measure_after(self, before: list[Tensor]) -> None:
        self.clock.to(LOGGING)
        joint = torch.nn.utils.get_total_norm if self.shards is None else self.shards.total_norm
        weights = joint(before)
        torch._foreach_sub_(before, self.parameters)  # pyright: ignore[reportPrivateImportUsage]  # no public name
        self.measured["update_ratio"] = joint(before) / weights

    def values(self) -> dict[str, float | int | None]:
        """Return the measurements since the last call as numbers, and reset them; waits for the device."""
        group = self.optimizer.param_groups[0]
        clipped, shrunk, gradients = self.clip_sums.tolist()
        values: dict[str, float | int | None] = {
            "train_loss": self.loss_sum.item() / self.steps if self.steps else None,
            "lr": float(group["lr"]) if "lr" in group else None,
            **{name: float(value) for name, value in self.measured.items()},
            "clip_fraction": clipped / max(1, gradients),
            "clip_scale": 1 - shrunk / max(1, gradients),
        }
        if self.scaler:
            values |= {"loss_scale": self.scaler.get_scale(), "skipped_steps": int(self.skipped_steps)}
        self.reset_meters()
        return values

    def state_dict(self) -> State:
        """Return the state for a checkpoint."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self._optimizer_state(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "loss_sum": self.loss_sum,
            "clip": self.clip.state_dict(),
            "clip_sums": self.clip_sums,
            "steps": self.steps,
            "skipped_steps": int(self.skipped_steps),
            "gradient_evaluations": self.gradient_evaluations,
            "watched": dict(self.measured),
        }

    def _optimizer_state(self) -> object:
        return full_state(self.optimizer) if self.shards is None else self.shards.optimizer_state(self.optimizer)

    def load_state_dict(self, state: State) -> None:
        """Load a checkpoint's state."""
        if self.shards is not None:
            self.shards.load_state(self.module, self.optimizer, state)
        else:
            self.module.load_state_dict(state["module"])
            load_full_state(self.optimizer, state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.clip.load_state_dict(state["clip"])
        self.loss_sum.copy_(state["loss_sum"])
        self.clip_sums.copy_(state["clip_sums"])
        self.steps = state["steps"]
        self.skipped_steps.fill_(state["skipped_steps"])
        self.gradient_evaluations, self.measured = state["gradient_evaluations"], dict(state["watched"])


def samples_of(batch: Batch) -> int:
    """Return the number of samples in a batch."""
    return len(next(iter(batch.values())))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: torch's autocast for bf16 and fp16, none for fp32."""
    return torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else nullcontext()
