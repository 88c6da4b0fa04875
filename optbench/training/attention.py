"""The kernel of scaled dot-product attention: selected for the process, and observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

SWITCHES = {  # torch names them after CUDA, but they affect CPUs too
    "flash": torch.backends.cuda.enable_flash_sdp,
    "efficient": torch.backends.cuda.enable_mem_efficient_sdp,
    "cudnn": torch.backends.cuda.enable_cudnn_sdp,
    "math": torch.backends.cuda.enable_math_sdp,
}
NAMES = {
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "efficient",
    SDPBackend.CUDNN_ATTENTION: "cudnn",
    SDPBackend.MATH: "math",
}


def select_kernel(kernel: str | None) -> None:
    """Allow only one kernel, or with None let torch choose."""
    for name, switch in SWITCHES.items():
        switch(kernel is None or kernel == name)


class KernelRecorder(TorchFunctionMode):
    """A context that collects the names of the attention kernels that torch chooses in `kernels`."""

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
        """Note the kernel of an attention call, and make the call."""
        given = kwargs or {}
        if func is scaled_dot_product_attention:
            chosen = torch._fused_sdp_choice(*args, **given)  # pyright: ignore[reportPrivateImportUsage]  # the only way
            self.kernels.add(NAMES.get(SDPBackend(chosen), "unknown"))
        return func(*args, **given)
