"""Networks trained as one have the gradients, buffers and losses of each alone; those that cannot are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from optbench.clipping import NoClip
from optbench.contracts import Batch, Turn
from optbench.training.clock import Clock
from optbench.training.player import ActivePlayer
from optbench.training.stacked import NotStackable, Stack


class Convolutions(nn.Module):
    """A network with batch statistics, a frozen, an unused and a tied parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)
        self.wide, self.narrow = nn.Linear(16, 16), nn.Linear(16, 16)
        self.narrow.weight = self.wide.weight
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.randn(16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.convolution(x))).flatten(1)
        return self.narrow(torch.tanh(self.wide(x))) + self.frozen


def squares(network: nn.Module) -> Callable[[Batch], Any]:
    """Return a loss that counts the positive targets only, so that the count is a tensor."""

    def loss(batch: Batch) -> Any:
        wanted = (batch["labels"] > 0).double()
        return ((network(batch["inputs"]) - batch["labels"]).square() * wanted).sum(), wanted.sum()

    return loss


def player_of(network: nn.Module, **changes: Any) -> ActivePlayer:
    settings: dict[str, Any] = {"needs": [], "precision": "fp32", "micro_batch": None}
    settings |= {"device": torch.device("cpu"), "clock": Clock(), **changes}
    trained = [p for p in network.parameters() if p.requires_grad]
    return ActivePlayer(network, torch.optim.SGD(trained, lr=0.1), NoClip(None), **settings)  # type: ignore[arg-type]


def batch_of(seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    inputs = torch.randn(5, 2, 4, 4, generator=random, dtype=torch.float64)
    return {"inputs": inputs, "labels": torch.randn(5, 16, generator=random, dtype=torch.float64)}


def players(count: int = 3, network: Callable[[], nn.Module] = Convolutions) -> list[ActivePlayer]:
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(player_of(network().double()))
    return found


def turns(of: list[ActivePlayer], step: int = 0) -> list[Turn]:
    return [Turn("model", batch_of(10 * step + i), squares(player.module)) for i, player in enumerate(of)]


def test_steps_of_a_stack_are_those_of_each_network_alone() -> None:
    together, alone = players(), players()
    stack = Stack(together)
    stack.verify(turns(together))
    for step in range(4):
        found = stack.gradients(turns(together, step))
        expected = [player.gradients(turn) for player, turn in zip(alone, turns(alone, step), strict=True)]
        torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=1e-12, atol=0)
        for one, other in zip(together, alone, strict=True):
            for p, q in zip(one.parameters, other.parameters, strict=True):
                torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-12)
            one.optimizer.step()
            other.optimizer.step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.module.state_dict(), other.module.state_dict(), rtol=1e-9, atol=1e-12)
        assert one.module.unused.grad is None


def test_verifying_changes_nothing() -> None:
    some = players()
    before = copy.deepcopy([player.module.state_dict() for player in some])
    stack = Stack(some)
    state = torch.get_rng_state()
    stack.verify(turns(some))
    torch.testing.assert_close([player.module.state_dict() for player in some], before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for player in some for p in player.parameters)
    assert [player.gradient_evaluations for player in some] == [0, 0, 0]


def test_a_network_that_is_not_finite_leaves_the_others_alone() -> None:
    together, alone = players(), players()
    with torch.no_grad():
        together[1].module.wide.weight.fill_(torch.inf)
    losses = Stack(together).gradients(turns(together))
    assert not losses[1].isfinite()
    for i in (0, 2):
        expected = alone[i].gradients(turns(alone)[i])
        torch.testing.assert_close(losses[i], expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(together[i].parameters[0].grad, alone[i].parameters[0].grad, rtol=1e-9, atol=1e-12)


def test_replaced_tensors_are_stacked_again() -> None:
    together, alone = players(2), players(2)
    stack = Stack(together)
    for some in (together, alone):
        weight = some[1].module.convolution.weight
        weight.data = weight.data.clone() * 2
    losses = stack.gradients(turns(together))
    expected = [player.gradients(turn) for player, turn in zip(alone, turns(alone), strict=True)]
    torch.testing.assert_close(torch.stack(losses), torch.stack(expected), rtol=1e-12, atol=0)


def test_a_loss_that_differs_between_networks_is_found() -> None:
    some = players(2)
    first, second = turns(some)
    other = Turn("model", second.batch, lambda batch: (2 * second.loss(batch)[0], second.loss(batch)[1]))
    with pytest.raises(NotStackable, match="losses differ"):
        Stack(some).verify([first, other])


def test_bf16_is_compared_by_its_own_tolerance() -> None:
    """Rounding passes, and a loss that is 5 % larger does not."""
    some = [player_of(Convolutions(), precision="bf16") for _ in range(2)]
    single = [{name: tensor.float() for name, tensor in turn.batch.items()} for turn in turns(some)]
    losses = [squares(player.module) for player in some]
    same = [Turn("model", batch, loss) for batch, loss in zip(single, losses, strict=True)]
    Stack(some).verify(same)
    other = Turn("model", single[1], lambda batch: (1.05 * losses[1](batch)[0], losses[1](batch)[1]))
    with pytest.raises(NotStackable, match="losses differ"):
        Stack(some).verify([same[0], other])


class SideEffect(Convolutions):
    """A network that replaces a buffer, which a stack does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1
        return super().forward(x)


def test_a_buffer_that_is_replaced_is_found() -> None:
    some = players(2, SideEffect)
    with pytest.raises(NotStackable, match="buffers differ"):
        Stack(some).verify(turns(some))


def with_hook() -> nn.Module:
    network = Convolutions()
    network.wide.register_forward_hook(lambda *given: None)
    return network


class Wider(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Linear(2, 2)


REFUSED: dict[str, Callable[[], list[ActivePlayer]]] = {
    "fp16": lambda: [player_of(Convolutions(), precision="fp16") for _ in range(2)],
    "micro-batches": lambda: [player_of(Convolutions(), micro_batch=2) for _ in range(2)],
    "evaluates the loss itself": lambda: [player_of(Convolutions(), needs=["closure"]) for _ in range(2)],
    "hooks": lambda: players(2, with_hook),
    "channels last": lambda: players(2, lambda: Convolutions().to(memory_format=torch.channels_last)),
    "several networks": lambda: [player_of(Convolutions(), task_modules=[nn.Linear(1, 1)] * 2) for _ in range(2)],
    "different parameters": lambda: [*players(1), *players(1, Wider)],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_stacked_has_a_reason(reason: str) -> None:
    with pytest.raises(NotStackable, match=reason):
        Stack(REFUSED[reason]())
