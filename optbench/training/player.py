"""A player at work: one network, its optimizer and clip, and what is measured of its steps.

The loop computes gradients first (micro-batches accumulated, unscaled, clipped) and then calls the optimizer, whose
closure's first call returns that result. A later call (SAM, L-BFGS, line search) evaluates the same batch again with
the same random state and frozen batch statistics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optbench.clipping import Clip, ClipReport, gradient_norm
from optbench.contracts import Batch, Turn
from optbench.errors import ConfigError
from optbench.optimizers.core.eval_weights import frozen_statistics
from optbench.optimizers.core.interface import requires_closure, takes_closure
from optbench.training.clock import BACKWARD, FORWARD, LOGGING, OPTIMIZER, Clock
from optbench.training.curvature import BatchCurvature, micro_batches, pieces_of
from optbench.training.parallel import Communicator, Shards
from optbench.training.seeding import restore_torch_random_state, torch_random_state

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ActivePlayer:
    """Takes the optimizer steps of one player."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: Any,
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
        self.peaks = [lr_factor * float(g["lr"]) if "lr" in g else None for g in optimizer.param_groups]
        for group, peak in zip(optimizer.param_groups, self.peaks, strict=True):
            if "peak_lr" in group:  # a rule that asks what its lr is a share of
                group["peak_lr"] = peak
        self.micro_batch, self.device, self.clock = micro_batch, device, clock
        self.autocast = autocast(precision, device)
        self.curvature, self.comm, self.shards = curvature, comm, shards
        # whether a forward pass waits for the other ranks: for their parts, or for their batch statistics
        self.in_step = shards is not None or any(
            isinstance(part, nn.SyncBatchNorm) for network in self.task_modules for part in network.modules()
        )
        self.scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.reevaluates = "closure" in needs
        self.passes_closure = ("closure" in needs and takes_closure(optimizer)) or requires_closure(optimizer)
        self._shares: dict[int, Tensor] = {}
        self.gradient_evaluations = 0
        self.skipped_steps = 0
        self.reset_meters()

    def reset_meters(self) -> None:
        """Begin a new interval between train records."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.clip_sums = torch.zeros(3, dtype=torch.float64, device=self.device)  # clipped, 1 - scale, gradients
        self.steps = 0
        self.watched: dict[str, Tensor | float] = {}

    # -- one step ----------------------------------------------------------------------------------------------------

    def step(self, turn: Turn, factor: float, watch: bool) -> None:
        """One optimizer step at `factor` times the peak learning rate; `watch` measures norms as well."""
        self.clock.to(OPTIMIZER)
        self._set_lr(factor)
        if self.comm is not None:
            self.comm.begin_turn()
        if self.curvature is not None:
            self.curvature.turn = turn
        self._random_state = torch_random_state(self.device) if self.reevaluates else None
        loss = self.gradients(turn)
        self.clock.to(OPTIMIZER)
        seen = self._clip(first=True)
        before = self._watch_before(seen) if watch else None
        self._update(turn, loss)
        if before is not None:
            self._watch_after(before)
        if self.curvature is not None:
            self.gradient_evaluations += self.curvature.evaluations
            self.curvature.evaluations, self.curvature.turn = 0, None
        self.loss_sum += loss
        self.steps += 1

    def gradients(self, turn: Turn) -> Tensor:
        """Fill the gradients of the mean loss over the whole batch; returns that loss, detached."""
        self.forget_gradients()
        self.gradient_evaluations += 1
        if self.comm is not None:
            with self.comm.rank_rng():
                return self._accumulated(turn)
        if self.micro_batch is None:
            return self._whole(turn)
        return self._accumulated(turn)

    def forget_gradients(self) -> None:
        """No gradient any more."""
        for parameter in self.parameters:
            parameter.grad = None
        if self.shards is not None:
            self.shards.zero_grad()

    def _whole(self, turn: Turn) -> Tensor:
        self.clock.to(FORWARD)
        with self.autocast:
            total, count = turn.loss(turn.batch)
        self.clock.to(BACKWARD)
        share = self._share(count, total)
        self._backward(total, share)
        return total.detach() * share

    def _share(self, count: Tensor | int, total: Tensor) -> Tensor:
        """1 / count as the gradient of the mean by the sum: cheaper than a division in the graph."""
        if isinstance(count, Tensor):
            return (1 / count).to(total.dtype)
        if count not in self._shares:
            self._shares[count] = torch.full_like(total, 1 / count, requires_grad=False)
        return self._shares[count]

    def _accumulated(self, turn: Turn) -> Tensor:
        """Micro-batches: gradients of sums, divided once by the count over all of them and over all ranks."""
        loss_sum: Any = 0.0
        count_sum: Any = 0
        for micro in self._pieces(turn.batch):
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

    def _pieces(self, batch: Batch) -> Iterator[Batch]:
        """The micro-batches of this rank's share; every rank has as many where each pass waits for all."""
        size = self.micro_batch or samples_of(batch)
        if self.comm is None or not self.in_step:
            return micro_batches(batch, size)
        return pieces_of(batch, self.comm.max_over_ranks(-(-samples_of(batch) // size))[0])

    def _divide_gradients(self, count: Any) -> None:
        """Sums become means over the global batch."""
        if self.shards is not None:
            self.clock.to(OPTIMIZER)  # what an optimizer that needs whole tensors has them gathered for
            self.shards.collect_gradients(count)
            return
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self.comm is not None:
            self.comm.all_reduce(gradients)
        for gradient in gradients:
            gradient.div_(count)

    def _backward(self, loss: Tensor, gradient: Tensor | None) -> None:
        (self.scaler.scale(loss) if self.scaler else loss).backward(gradient)

    def _set_lr(self, factor: float) -> None:
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            if peak is None:
                continue
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(peak * factor)
            else:
                group["lr"] = peak * factor

    def _clip(self, first: bool) -> ClipReport:
        """Clip the gradients at hand; only the `first` ones of a step move a clip's running statistics."""
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        seen = self.clip(self.parameters, first)
        if seen.norm is not None and seen.clipped is not None and seen.scale is not None:
            counted = torch.stack([seen.clipped.to(seen.scale.dtype), 1 - seen.scale, torch.ones_like(seen.scale)])
            # no scale is known of a gradient that is not finite, such as fp16 skips
            self.clip_sums += torch.where(seen.norm.isfinite(), counted, 0.0)
        return seen

    def _update(self, turn: Turn, loss: Tensor) -> None:
        if self.shards is not None:
            self.shards.drop_empty_gradients()
        if self.scaler:
            scale = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.skipped_steps += self.scaler.get_scale() < scale
        elif self.passes_closure:
            self.optimizer.step(self._closure(turn, loss))
        else:
            self.optimizer.step()
        self.sync_shards()

    def sync_shards(self) -> None:
        """What the optimizer trains has other values now."""
        if self.shards is not None:
            self.shards.sync_to_module()

    def _closure(self, turn: Turn, first: Tensor) -> Callable[[], Tensor]:
        pending = [first]
        return lambda: pending.pop() if pending else self._again(turn)

    def _again(self, turn: Turn) -> Tensor:
        """The loss and gradients of the same batch at the parameters' present values."""
        if self._random_state is None:
            raise ConfigError(
                "the optimizer evaluates its closure twice", "Declare it in its YAML: about.needs: [closure]"
            )
        with frozen_statistics(*self.task_modules):
            restore_torch_random_state(self._random_state, self.device)
            loss = self.gradients(turn)
        self.clock.to(OPTIMIZER)
        self._clip(first=False)
        return loss

    # -- what is measured --------------------------------------------------------------------------------------------

    def _watch_before(self, seen: ClipReport) -> list[Tensor]:
        with self.clock.during(LOGGING), torch.no_grad():
            # a clip measures the norm before it clips; without one the gradients are still as they were
            self.watched["grad_norm"] = seen.norm if seen.norm is not None else self._gradient_norm()
            return [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def _watch_after(self, before: list[Tensor]) -> None:
        self.clock.to(LOGGING)
        joint = torch.nn.utils.get_total_norm if self.shards is None else self.shards.total_norm
        weights = joint(before)
        torch._foreach_sub_(before, self.parameters)
        self.watched["update_ratio"] = joint(before) / weights

    def _gradient_norm(self) -> Tensor:
        return gradient_norm(self.parameters, self.shards)

    def values(self) -> dict[str, float | int | None]:
        """What was measured since the last call, as numbers; waits for the device."""
        group = self.optimizer.param_groups[0]
        clipped, shrunk, gradients = self.clip_sums.tolist()
        values: dict[str, float | int | None] = {
            "train_loss": self.loss_sum.item() / self.steps if self.steps else None,
            "lr": float(group["lr"]) if "lr" in group else None,
            **{name: float(value) for name, value in self.watched.items()},
            "clip_fraction": clipped / max(1, gradients),
            "clip_scale": 1 - shrunk / max(1, gradients),
        }
        if self.scaler:
            values |= {"loss_scale": self.scaler.get_scale(), "skipped_steps": self.skipped_steps}
        self.reset_meters()
        return values

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self._optimizer_state(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "loss_sum": self.loss_sum,
            "clip": self.clip.state_dict(),
            "clip_sums": self.clip_sums,
            "steps": self.steps,
            "skipped_steps": self.skipped_steps,
            "gradient_evaluations": self.gradient_evaluations,
            "watched": dict(self.watched),
        }

    def _optimizer_state(self) -> Any:
        return self.optimizer.state_dict() if self.shards is None else self.shards.optimizer_state(self.optimizer)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if self.shards is not None:
            self.shards.load_state(self.module, self.optimizer, state)
        else:
            self.module.load_state_dict(state["module"])
            self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.clip.load_state_dict(state["clip"])
        self.loss_sum, self.clip_sums = state["loss_sum"].to(self.device), state["clip_sums"].to(self.device)
        self.steps, self.skipped_steps = state["steps"], state["skipped_steps"]
        self.gradient_evaluations, self.watched = state["gradient_evaluations"], dict(state["watched"])


def samples_of(batch: Batch) -> int:
    """The number of samples in a batch."""
    return len(next(iter(batch.values())))


def autocast(precision: str, device: torch.device) -> Any:
    """The context of a forward pass: fp32 as it stands, bf16 and fp16 by torch's autocast."""
    return torch.autocast(device.type, AUTOCAST[precision]) if precision in AUTOCAST else contextlib.nullcontext()
