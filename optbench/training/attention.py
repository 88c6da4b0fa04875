"""The kernel of scaled dot-product attention: selected for the process, and observed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

SWITCHES = {  # torch names them after CUDA, but they affect CPUs too
    "flash": torch.backends.cuda.enable_flash_sdp,
    "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
    "cudnn": torch.backends.cuda.enable_cudnn_sdp,
    "math": torch.backends.cuda.enable_math_sdp,
}
KERNELS = re.compile("_scaled_dot_product_(?:attention_)?(flash|efficient|cudnn|math)?")
"""The operators of torch that are attention kernels; the math kernel mostly consists of others."""


def select_kernel(kernel: str | None) -> None:
    """Allow only one kernel, or with None let torch choose."""
    for name, switch in SWITCHES.items():
        switch(kernel is None or kernel == name)


class KernelRecorder(TorchFunctionMode):
    """A context that collects the names of the attention kernels that run in `kernels`.

    It looks at the operators that an attention call comes to: autocast may change the tensors before torch chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Make the call, and note the kernel of an attention call."""
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with FusedOperators() as seen:
            found = func(*args, **(kwargs or {}))
        self.kernels |= seen.kernels or {"math"}
        return found


class FusedOperators(TorchDispatchMode):
    """A context that collects the names of the fused attention kernels among the operators that run."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Note a fused kernel, and run the operator."""
        found = KERNELS.match(func._schema.name.removeprefix("aten::"))
        if found:
            self.kernels.add(found[1] or "unknown")
        return func(*args, **(kwargs or {}))
