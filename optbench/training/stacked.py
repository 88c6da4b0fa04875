"""Several networks of one shape, trained as one: one forward and one backward pass compute the gradients of all.

The parameters and buffers of the networks are stacked along a new first dimension, and `torch.func.vmap` runs the loss
over it. Every network keeps its own parameter objects, which are views into the stack, so that its optimizer, clip,
evaluation and checkpoint know nothing of the others. Small networks leave a GPU waiting for the next kernel; a stack
launches as many kernels as one network.

Source: PyTorch's tutorial on model ensembling with torch.func.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from optbench.contracts import Batch, SumCount, Turn
from optbench.training.player import ActivePlayer
from optbench.training.seeding import preserve_state

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}  # of a gradient's norm; TF32 has 10 bits
LOSS_TOLERANCE = 0.02  # bf16 has 8 bits, and kernels round at other places: some 1e-4 of a loss,
LOW_PRECISION_TOLERANCE = 0.25  # and, after a few layers, 5 % of a gradient
NEGLIGIBLE = 1e-2  # a tensor's error in units of its tolerance times the norm of all gradients


class NotStackable(Exception):
    """These networks cannot be trained as one; the message is the reason."""


@dataclass
class Part:
    """A stacked parameter or buffer, and the tensors of the networks that are views into it."""

    name: str
    stacked: Tensor
    views: list[Tensor]
    addresses: list[int]

    @classmethod
    def of(cls, name: str, tensors: Sequence[Tensor]) -> Part:
        """Copy tensors of one shape into a stack, and make them views into it."""
        stacked = torch.stack([tensor.detach() for tensor in tensors])
        for tensor, row in zip(tensors, stacked.unbind(), strict=True):
            tensor.data = row
        leaf = stacked.requires_grad_(tensors[0].requires_grad)
        return cls(name, leaf, list(tensors), [tensor.data_ptr() for tensor in tensors])

    @property
    def holds(self) -> bool:
        """True if the networks' tensors are still views into the stack."""
        return all(tensor.data_ptr() == at for tensor, at in zip(self.views, self.addresses, strict=True))


class LossOf(nn.Module):
    """A loss as a module, so that `functional_call` can replace the parameters of the network that it evaluates."""

    def __init__(self, network: nn.Module, loss: Callable[[Batch], SumCount]) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of the loss and its count, scalars."""
        total, count = self.loss(batch)
        return total, count.to(total.dtype) if isinstance(count, Tensor) else torch.full_like(total, float(count))


class Stack:
    """The networks of several players. Its gradients are those of each alone, to rounding."""

    def __init__(self, players: Sequence[ActivePlayer]) -> None:
        """Stack their tensors. Raises NotStackable with the reason if they cannot be trained as one."""
        self.players = list(players)
        for player in players:
            require_plain(player)
        require_equal_shapes(players)
        self._stack()

    def _stack(self) -> None:
        networks = [player.module for player in self.players]
        self.parameters = list(parts_of([dict(network.named_parameters()) for network in networks]))
        self.buffers = list(parts_of([dict(network.named_buffers()) for network in networks]))

    def gradients(self, turns: Sequence[Turn]) -> list[Tensor]:
        """Set the gradients of every network to those of its mean loss on its own batch; return the losses, detached.

        All batches have the same shapes. Raises whatever torch raises for a loss that cannot be vectorised."""
        if not all(part.holds for part in (*self.parameters, *self.buffers)):
            self._stack()  # something has replaced the tensors of a network
        batch = {name: torch.stack([turn.batch[name] for turn in turns]) for name in turns[0].batch}
        with self.players[0].autocast:
            totals, counts = self._losses(turns[0], batch)
        losses = totals * (1 / counts)
        trained = [part for part in self.parameters if part.stacked.requires_grad]
        found = torch.autograd.grad(losses.sum(), [part.stacked for part in trained], allow_unused=True)
        for part, gradient in zip(trained, found, strict=True):
            rows = [None] * len(part.views) if gradient is None else gradient.contiguous().unbind()
            for parameter, row in zip(part.views, rows, strict=True):
                parameter.grad = row
        return list(losses.detach().unbind())

    def _losses(self, turn: Turn, batch: Batch) -> tuple[Tensor, Tensor]:
        network = LossOf(self.players[0].module, turn.loss)

        def loss(tensors: Mapping[str, Tensor], one: Batch) -> tuple[Tensor, Tensor]:
            return functional_call(network, dict(tensors), (one,))

        tensors = {f"network.{part.name}": part.stacked for part in (*self.parameters, *self.buffers)}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # kernels without a vectorised form
            return vmap(loss, randomness="error")(tensors, dict(batch))

    def verify(self, turns: Sequence[Turn]) -> None:
        """Compare losses, gradients and buffers with those of every player alone, without an effect on training.

        Raises NotStackable if they differ by more than rounding."""
        device = self.players[0].device
        networks = [player.module for player in self.players]
        with preserve_state(networks, device):
            losses = self.gradients(turns)
            together = [Step.of(player, loss) for player, loss in zip(self.players, losses, strict=True)]
        with preserve_state(networks, device):
            alone = [step_alone(player, turn) for player, turn in zip(self.players, turns, strict=True)]
        for player, one, other in zip(self.players, alone, together, strict=True):
            if what := one.difference(other, low_precision=isinstance(player.autocast, torch.autocast)):
                raise NotStackable(f"their {what} differ from those of each alone")


@dataclass
class Step:
    """Loss, gradients and buffers of a network after one forward and backward pass."""

    loss: Tensor
    gradients: list[Tensor | None]
    buffers: list[Tensor]

    @classmethod
    def of(cls, player: ActivePlayer, loss: Tensor) -> Step:
        """Copy them."""
        gradients = [None if p.grad is None else p.grad.clone() for p in player.parameters]
        return cls(loss.clone(), gradients, [buffer.clone() for buffer in player.module.buffers()])

    def difference(self, other: Step, low_precision: bool) -> str:
        """Return what differs by more than rounding: "losses", "gradients" or "buffers"; else ""."""
        if not self.loss.isfinite():
            return ""
        parts = {
            "losses": ([(self.loss, other.loss)], LOSS_TOLERANCE),
            "gradients": (list(zip(self.gradients, other.gradients, strict=True)), LOW_PRECISION_TOLERANCE),
            "buffers": (list(zip(self.buffers, other.buffers, strict=True)), LOW_PRECISION_TOLERANCE),
        }
        for name, (pairs, tolerance) in parts.items():
            if not all_close(pairs, tolerance if low_precision else None):
                return name
        return ""


def all_close(pairs: Sequence[tuple[Tensor | None, Tensor | None]], given: float | None) -> bool:
    """Return True if the second tensors equal the first ones to rounding, measured by their L2 norms.

    `given`: the tolerance; None for that of their dtype."""
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    norms = [float(a.float().norm()) for a, _ in known]
    whole = sum(norm**2 for norm in norms) ** 0.5
    for (a, b), norm in zip(known, norms, strict=True):
        tolerance = given or TOLERANCE.get(a.dtype, LOW_PRECISION_TOLERANCE)
        if float((a - b).float().norm()) > tolerance * (norm + NEGLIGIBLE * whole):
            return False
    return True


def step_alone(player: ActivePlayer, turn: Turn) -> Step:
    """Return the step of a player on its own; nothing is counted or timed."""
    with player.unmeasured():
        return Step.of(player, player.gradients(turn))


def parts_of(networks: Sequence[Mapping[str, Tensor]]) -> Iterator[Part]:
    """Yield the stacked tensors of several networks, by name."""
    for name in networks[0]:
        yield Part.of(name, [network[name] for network in networks])


def require_plain(player: ActivePlayer) -> None:
    """Raise NotStackable if a player's gradients come from more than one forward and backward pass of its network."""
    modules = list(player.module.modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    reasons = {
        "the run has several ranks": player.comm is not None or player.shards is not None,
        "fp16 scales the loss of each run": player.scaler is not None,
        "the batch is split into micro-batches": player.micro_batch is not None,
        "the optimizer evaluates the loss itself": player.passes_closure or player.curvature is not None,
        "the optimizer differentiates the gradients": player.differentiable,
        "the player computes its gradients in its own way": type(player).gradients is not ActivePlayer.gradients,
        "the optimizer or the model has hooks": any(getattr(module, name, None) for module in modules for name in hooks)
        or any(p._backward_hooks or p._post_accumulate_grad_hooks for p in player.parameters),
        "the model is compiled": any(module._compiled_call_impl is not None for module in modules),
        "the model has several networks": len(player.task_modules) > 1,
        "its parameters have gaps or channels last": not all(t.is_contiguous() for t in player.module.parameters()),
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotStackable(reason)


def require_equal_shapes(players: Sequence[ActivePlayer]) -> None:
    """Raise NotStackable unless all networks have the same parameters, buffers and modes."""
    first, *others = [shape_of(player.module) for player in players]
    if any(other != first for other in others):
        raise NotStackable("their networks have different parameters")


def shape_of(network: nn.Module) -> object:
    """Return names, shapes, dtypes and modes of a network's tensors and modules."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return (
        [(name, tuple(t.shape), t.dtype, t.requires_grad) for name, t in tensors],
        [(name, type(module), module.training) for name, module in network.named_modules()],
    )
