"""The weights to evaluate: an optimizer may keep better ones than those it trains (averaged, slow, schedule-free).

Such an optimizer offers `eval()`, which puts its evaluation weights into the parameters, and `train()`, which undoes it
(the convention of the schedulefree library). Here the training weights come back bit for bit, whatever `train()` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeGuard

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from optbench.optimizers.core.interface import Optimizer


class HasEvalWeights(Optimizer, Protocol):
    """An optimizer with separate weights for evaluation."""

    def eval(self) -> None:
        """Put the evaluation weights into the parameters."""

    def train(self) -> None:
        """Put the training weights back."""


def has_eval_weights(optimizer: Optimizer) -> TypeGuard[HasEvalWeights]:
    """Return True if the optimizer has separate weights for evaluation."""
    return callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))


@contextmanager
def eval_weights(
    optimizer: Optimizer,
    module: nn.Module,
    refresh: Callable[[nn.Module], None],
    sync: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Use the evaluation weights within a block.

    `refresh(module)` re-estimates batch statistics for them; it is called only if the module has any. `sync()` is
    called whenever the values of the optimizer's tensors have changed."""
    if not has_eval_weights(optimizer):
        yield
        return
    kept = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    kept += list(module.buffers())
    copies = [tensor.detach().clone() for tensor in kept]
    optimizer.eval()
    sync()
    try:
        if batch_norms(module):
            refresh(module)
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for tensor, copy in zip(kept, copies, strict=True):
                tensor.copy_(copy)
        sync()


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return the modules that keep running statistics of their batches."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def frozen_statistics(*modules: nn.Module) -> Iterator[None]:
    """Use batch statistics without recording them, to evaluate the same batch again inside a step."""
    norms = [norm for module in modules for norm in batch_norms(module)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def evaluation_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Set evaluation mode within a block; restore every submodule's own mode after it."""
    modes = [(module, module.training) for root in modules for module in root.modules()]
    with ExitStack() as stack:
        stack.callback(lambda: [setattr(module, "training", mode) for module, mode in modes])
        for root in modules:
            root.eval()
        yield
