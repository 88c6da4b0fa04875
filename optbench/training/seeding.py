"""Seeds of a run, and the state of every random generator."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from optbench.contracts import Seeds
from optbench.training.plan import State


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed for one purpose, independent of those for others (63 bits of SHA-256)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big") >> 1


def seeds_of(seed: int) -> Seeds:
    """Return the seeds of a run."""
    return Seeds(init=derive_seed(seed, "init"), order=derive_seed(seed, "order"), augment=derive_seed(seed, "augment"))


def seed_all(seed: int) -> None:
    """Seed every global generator; NumPy's only if it is imported."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> State:
    """Return the state of every global generator, as tensors and plain values (so that `weights_only` loads it)."""
    state: State = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if "numpy" in sys.modules:
        kind, keys, *rest = sys.modules["numpy"].random.get_state()
        state["numpy"] = (kind, [int(key) for key in keys], *(x if isinstance(x, int) else float(x) for x in rest))
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: State, device: torch.device) -> None:
    """Restore a state returned by `random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        import numpy

        kind, keys, *rest = state["numpy"]
        numpy.random.set_state((kind, numpy.array(keys, dtype="uint32"), *rest))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


def torch_random_state(device: torch.device) -> list[Tensor]:
    """Return the state of torch's generators only, which e.g. dropout uses."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_torch_random_state(state: Sequence[Tensor], device: torch.device) -> None:
    """Restore a state returned by `torch_random_state`."""
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)


@contextmanager
def preserve_state(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Restore buffers and torch's random state after the block."""
    state = torch_random_state(device)
    buffers = [(buffer, buffer.detach().clone()) for module in modules for buffer in module.buffers()]
    try:
        yield
    finally:
        restore_torch_random_state(state, device)
        with torch.no_grad():
            for buffer, copy in buffers:
                buffer.copy_(copy)
