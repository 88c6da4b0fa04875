"""Several runs in one process, one step after the other: `optbench sweep --pack N`.

Each run is an ordinary session in a thread of its own, and exactly one thread works at a time. A run hands over when it
needs gradients. Once all runs need them, the first one computes those of all together, by `training.stacked`. Where
that is not possible, the runs take turns by whole steps, on CUDA each on a stream of its own. A run that ends, diverges
or fails leaves, and the others go on.

Random states belong to the process, so each run puts its own back when its turn comes.
"""

from __future__ import annotations

import copy
import random
import sys
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from optbench.config import RunConfig
from optbench.config.notices import say_once
from optbench.contracts import DataSet, Seeds, Turn
from optbench.errors import first_line
from optbench.sessions.stop_signals import StopSignals
from optbench.training.loop import Trainer
from optbench.training.player import ActivePlayer
from optbench.training.seeding import restore_torch_random_state, torch_random_state
from optbench.training.stacked import NotStackable, Stack

_current: ContextVar[Member | None] = ContextVar("member", default=None)


def this_member() -> Member | None:
    """Return the pack's member whose thread this is; None outside a pack."""
    return _current.get()


def loaded_once(config: RunConfig, device: torch.device, seeds: Seeds, load: Callable[[], DataSet]) -> DataSet:
    """Return `load()`; in a pack, packaged data are loaded by the first run, and the others share its tensors."""
    member = this_member()
    if member is None or not config.data.target.startswith("optbench."):
        return load()
    key, data = repr((config.data, config.data_dir, device)), member.pack.data
    if key not in data:
        data[key] = load()
    found: Any = copy.copy(data[key])
    found.seeds = seeds  # they decide the order and the augmentation, which are made batch by batch
    return found


class Member:
    """One run of a pack."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.signals: StopSignals | None = None
        self.stopped_by: list[int] = []
        self.player: ActivePlayer | None = None
        self.turn: Turn | None = None
        self.loss: Tensor | None = None
        self.device = torch.device("cpu")
        self.on_stream = False

    def listen(self, signals: StopSignals) -> None:
        """Let `stop` reach a session."""
        self.signals = signals
        signals.heard.extend(self.stopped_by)

    def stop(self, number: int) -> None:
        """Stop the run as a signal would: with a checkpoint after its step. Called from another thread."""
        self.stopped_by.append(number)
        if self.signals is not None:
            self.signals.heard.append(number)

    def begin(self, trainer: Trainer) -> None:
        """Take over the gradients of a trainer whose task has one player."""
        self.device = trainer.device
        for player in trainer.players.values():
            if len(trainer.players) == 1:
                self.player = player
                player.gradients_together = self.gradients
            else:
                self.pack.take_turns("the task has several players")

    def gradients(self, turn: Turn) -> Tensor:
        """Wait for the other runs, and return the loss; the parameters' gradients are set."""
        player = self.player
        assert player is not None
        self.turn, self.loss = turn, None
        if not self.pack.takes_turns:
            self.pack.hand_over(self)
            if self.loss is None and not self.pack.takes_turns:
                self.pack.compute()
        loss, self.turn, self.loss = self.loss, None, None
        if loss is None:
            return player.gradients(turn)
        player.gradient_evaluations += 1
        return loss

    def end_step(self) -> None:
        """Let the next run take its step, if the runs take turns."""
        if self.pack.takes_turns:
            if self.device.type == "cuda" and not self.on_stream:
                self.on_stream = True
                use_own_stream(self.device)
            self.pack.hand_over(self)


class Pack:
    """Runs that share a process; `run` trains them."""

    def __init__(self, count: int) -> None:
        self.members = [Member(self) for _ in range(count)]
        self.living = list(self.members)
        self.holder = self.members[0]
        self.baton = threading.Condition()
        self.stack: Stack | None = None
        self.data: dict[str, DataSet] = {}
        """The data sets that were loaded so far."""
        self.reason = ""
        """Why the runs take turns; "" while their gradients are computed together."""

    @property
    def takes_turns(self) -> bool:
        """True if every run computes its own gradients."""
        return bool(self.reason)

    def take_turns(self, reason: str) -> None:
        """From now on, let every run compute its own gradients."""
        if not self.reason:
            self.reason, self.stack = reason, None
            say_once(f"--pack: the runs take turns, since {reason}")

    def facts(self) -> dict[str, object]:
        """Return what result.json says of the pack."""
        return {"runs": len(self.members), "together": not self.reason, "reason": self.reason or None}

    def run(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Call each body in a thread of its own, one at a time, and wait for all. Bodies do not raise."""
        threads = [
            threading.Thread(target=self._live, args=(member, body), daemon=True)
            for member, body in zip(self.members, bodies, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # a wait without an end would hold back signals on some systems
                thread.join(0.5)

    def _live(self, member: Member, body: Callable[[], None]) -> None:
        _current.set(member)
        with self.baton:
            self.baton.wait_for(lambda: self.holder is member)
        try:
            body()
        finally:
            with self.baton:
                following = self._after(member)
                self.living.remove(member)
                self.stack = None
                self.holder = following
                self.baton.notify_all()

    def _after(self, member: Member) -> Member:
        return self.living[(self.living.index(member) + 1) % len(self.living)]

    def hand_over(self, member: Member) -> None:
        """Let the other runs work until it is this one's turn again."""
        if len(self.living) == 1:
            return
        state = global_state(member.device)
        with self.baton:
            self.holder = self._after(member)
            self.baton.notify_all()
            self.baton.wait_for(lambda: self.holder is member)
        restore_global_state(state, member.device)

    def compute(self) -> None:
        """Compute the gradients of all runs together; all of them wait for theirs."""
        waiting = [member for member in self.living if member.turn is not None]
        if len(waiting) == 1:
            return  # it computes its own
        players = [member.player for member in waiting if member.player is not None]
        turns = [member.turn for member in waiting if member.turn is not None]
        try:
            if self.stack is None or self.stack.players != players:
                self.stack = Stack(players)
                self.stack.verify(turns)
            losses = self.stack.gradients(turns)
        except NotStackable as reason:
            self.take_turns(str(reason))
        except Exception as error:  # whatever torch raises for an operation without a vectorised form
            for player in players:
                player.zero_grad()
            self.take_turns(in_words(error))
        else:
            for member, loss in zip(waiting, losses, strict=True):
                member.loss = loss


def in_words(error: Exception) -> str:
    """Return why gradients cannot be computed together, from an error of torch."""
    text = first_line(error)
    if "random operation" in text:
        return "the model draws random numbers"
    return f"their gradients cannot be computed together ({text[:120]})"


def use_own_stream(device: torch.device) -> None:
    """Let this thread work on a CUDA stream of its own from now on, after what the device has been told so far."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    torch.cuda.set_stream(stream)


def global_state(device: torch.device) -> tuple[Any, ...]:
    """Return the states of the process's random generators, in their own forms."""
    numpy = sys.modules["numpy"].random.get_state() if "numpy" in sys.modules else None
    return random.getstate(), numpy, torch_random_state(device)


def restore_global_state(state: tuple[Any, ...], device: torch.device) -> None:
    """Restore what `global_state` returned."""
    python, numpy, tensors = state
    random.setstate(python)
    if numpy is not None:
        sys.modules["numpy"].random.set_state(numpy)
    restore_torch_random_state(tensors, device)
