"""The Triton code that the compiler makes for a rule on an H100, without one: its questions about it are answered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

H100 = SimpleNamespace(
    name="NVIDIA H100",
    major=9,
    minor=0,
    multi_processor_count=132,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    regs_per_multiprocessor=65536,
    shared_memory_per_block_optin=232448,
    shared_memory_per_multiprocessor=233472,
    warp_size=32,
    total_memory=80 << 30,
    L2_cache_size=50 << 20,
    gcnArchName="",
)
NOT_ON_FAKES = {"fx_graph_cache": False, "compile_threads": 1, "pattern_matcher": False}
NOT_ON_FAKES |= {"joint_graph_constant_folding": False}


class Driver:
    """triton's driver, which knows the kind of GPU."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda:0")


class Finished(Exception):
    """Ends a compilation once the code is there."""


def triton_source(rule: Callable[..., None], shapes: Sequence[Sequence[int]], numbers: int) -> str:
    """Return the code for tensors of these shapes, of which all sizes are dynamic, and numbers as 0-d tensors."""
    import torch._inductor.config
    from torch._dynamo.device_interface import CudaInterface
    from torch._inductor.graph import GraphLowering
    from triton.runtime import driver

    found: list[str] = []

    def stop(graph: Any) -> None:
        code = graph.codegen()[0]
        found.append(getattr(code, "value", code))
        raise Finished

    def pure(*arguments: Tensor) -> list[Tensor]:  # fakes of CUDA tensors cannot be changed in place
        tensors = [tensor.clone() for tensor in arguments[: len(shapes)]]
        rule(*tensors, *arguments[len(shapes) :])
        return tensors

    answers: dict[str, Any] = {
        "torch.cuda.get_device_properties": lambda *given: H100,
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.device_count": lambda: 1,
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.get_device_capability": lambda *given: (9, 0),
        "torch.cuda._lazy_init": lambda: None,
        "torch.cuda._exchange_device": lambda index: 0,
        "torch.cuda._maybe_exchange_device": lambda index: 0,
        "torch.cuda.get_rng_state": lambda *given: torch.get_rng_state(),
        "torch.cuda.set_rng_state": lambda *given: None,
        "torch.cuda.is_current_stream_capturing": lambda: False,
        "torch.accelerator.is_available": lambda: False,  # of streams
        "torch._inductor.fx_passes.joint_graph.lazy_init": lambda *given: None,
        "torch._inductor.fx_passes.post_grad.lazy_init": lambda *given: None,
        "torch._inductor.compile_fx.get_cuda_device_context": lambda graph: contextlib.nullcontext(),
    }
    with contextlib.ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch(name, answer))
        stack.enter_context(mock.patch.object(driver, "_active", Driver()))
        stack.enter_context(mock.patch.object(GraphLowering, "_compile_to_module", stop))
        for interface in (CudaInterface, CudaInterface.Worker):
            stack.enter_context(mock.patch.object(interface, "get_device_properties", lambda *given: H100))
        stack.enter_context(torch._inductor.config.patch(NOT_ON_FAKES))
        stack.enter_context(torch.no_grad())
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        arguments = [torch.empty(list(shape), device="cuda") for shape in shapes]
        arguments += [torch.empty((), device="cuda") for _ in range(numbers)]
        torch._dynamo.reset()
        stack.callback(torch._dynamo.reset)
        try:
            torch.compile(pure, dynamic=True, fullgraph=True)(*arguments)
        except Exception:  # Finished, wrapped by the compiler
            if not found:
                raise
    return found[0]
