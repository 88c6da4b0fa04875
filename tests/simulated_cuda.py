"""A CUDA device that isn't there: torch's FakeTensors know the shapes and devices of its tensors, but no values.

Tensors of the host stay real. Every operation must have its tensors on one device, and nothing on the device may be
read: FakeTensor refuses both. The backward pass can't be simulated (torch's engine asks the driver for its streams):
every gradient asked for is a tensor of the right shape on the right device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from optbench.checks.host_waits import waits_for_device
from optbench.config import RunConfig
from optbench.contracts import Batch
from optbench.sessions import assemble
from optbench.training.clock import Clock
from optbench.training.loop import Trainer
from optbench.training.seeding import seeds_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


class Watch(TorchDispatchMode):
    """Collects the operations with the device for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        words = kwargs or {}
        name = func.overloadpacket.__name__
        sources = {"_to_copy": args[:1], "copy_": args[1:2], "index": args[1] if len(args) > 1 else ()}.get(name, ())
        if waits_for_device(func, args, words) or any(map(is_pageable, sources)):
            self.waits.append(f"{name} {[tuple(leaf.shape) for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]}")
        return func(*args, **words)


class Simulation(TorchFunctionMode):
    """Makes fake what is computed on the device, and collects what the host would wait for in `waits`."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.watch = Watch()
        self.known: dict[int, tuple[object, Any]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        words = kwargs or {}
        name, leaves = getattr(func, "__name__", ""), tree_leaves((args, words))
        if name == "pin_memory":
            pinned = args[0].clone()
            pinned.is_pinned_here = True
            return pinned
        if not any(isinstance(leaf, FakeTensor) or is_cuda(leaf) for leaf in leaves):
            return func(*args, **words)
        with self.mode, self.watch:
            return func(*args, **words)

    @property
    def waits(self) -> list[str]:
        """The operations so far for which the host would wait."""
        return self.watch.waits

    # -- objects that were built on the CPU --------------------------------------------------------------------------

    def moved(self, value: Any) -> Any:
        """Return a value on the device: tensors, devices and what holds them. Objects of the package are changed."""
        if id(value) not in self.known:
            self.known[id(value)] = (value, value)  # kept, so that no other object gets its id
            self.known[id(value)] = (value, self._moved(value))
        return self.known[id(value)][1]

    def _moved(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, torch.device):
            return CUDA
        if isinstance(value, dict):
            return type(value)({key: self.moved(item) for key, item in value.items()})
        if type(value) in (list, tuple):
            return type(value)(self.moved(item) for item in value)
        if isinstance(value, nn.Module) or type(value).__module__.startswith("optbench."):
            for name, item in list(getattr(value, "__dict__", {}).items()):
                object.__setattr__(value, name, self.moved(item))
        return value

    def _tensor(self, tensor: Tensor) -> Tensor:
        with self.mode:
            found: Any = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=CUDA)
        if isinstance(tensor, nn.Parameter):
            found = nn.Parameter(found, requires_grad=tensor.requires_grad)
        for name, item in vars(tensor).items():  # the role of a parameter
            setattr(found, name, item)
        return found


def is_cuda(value: object) -> bool:
    return (isinstance(value, torch.device) and value.type == "cuda") or (
        isinstance(value, str) and value.startswith("cuda")
    )


def is_pageable(value: object) -> bool:
    """Return True for a tensor of the host with values, in memory that isn't pinned."""
    real = isinstance(value, Tensor) and not isinstance(value, FakeTensor)
    return real and value.ndim > 0 and not getattr(value, "is_pinned_here", False)


@contextmanager
def simulated_cuda() -> Iterator[Simulation]:
    """Within the block, what torch makes on CUDA is fake; what asks the driver gets an answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *given, **words: True)
        for name in ("memory_allocated", "max_memory_allocated", "max_memory_reserved", "reset_peak_memory_stats"):
            patch.setattr(torch.cuda, name, lambda device: 0)
        patch.setattr(torch.cuda, "get_rng_state", lambda device: torch.get_rng_state())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device: torch.set_rng_state(state))
        patch.setattr(Tensor, "backward", backward)
        patch.setattr(torch.autograd, "grad", gradients)
        patch.setattr(assemble, "clock_for", lambda device: Clock())
        with Simulation() as simulation:
            yield simulation


def backward(loss: Tensor, gradient: Tensor | None = None) -> None:
    """Stand for the backward pass: give every leaf of the graph a gradient."""
    assert loss.device == CUDA
    assert loss.ndim == 0
    seen, nodes = set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            leaf.grad = torch.empty_like(leaf)


def gradients(outputs: Tensor, inputs: Any, create_graph: bool = False, **words: Any) -> tuple[Tensor, ...]:
    """Stand for torch.autograd.grad."""
    assert outputs.device == CUDA
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    return tuple(torch.empty_like(tensor).requires_grad_(create_graph) for tensor in inputs)


def trainer_on_cuda(config: RunConfig, simulation: Simulation) -> tuple[Trainer, Iterator[Batch]]:
    """Return a trainer and its batches on the simulated device. Task and model are built on the CPU first."""
    seeds = seeds_of(config.seed)
    assemble.prepare(config, CPU, seeds)
    data: Any = assemble.load_data(config, CPU, seeds)
    task = assemble.build_task(config, data, seeds, CPU)
    simulation.moved(task)
    data = simulation.moved(data) if hasattr(data, "fill") else assemble.load_data(config, CUDA, seeds)
    micro_batch = config.micro_batch
    assert micro_batch is None or isinstance(micro_batch, int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "build_task", lambda *given: task)
        trainer = assemble.build_trainer(config, data, CUDA, seeds, micro_batch)
    for module in trainer.modules:
        module.train()
    return trainer, data.train_batches(config.batch_size)


def take_steps(trainer: Trainer, batches: Iterator[Batch], steps: int) -> None:
    """Take training steps that are not recorded."""
    for _ in range(steps):
        trainer.take_turns(next(batches), recording=False)
        trainer.progress.step += 1
