"""Which kernel computes scaled dot-product attention: chosen for a process, and observed."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention import SDPBackend
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

SWITCHES = {  # by our name; torch's switches are called after CUDA and hold for CPUs as well
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


def choose(kernel: str | None) -> None:
    """Allow one kernel, or all of them for torch to choose from."""
    for name, switch in SWITCHES.items():
        switch(kernel is None or kernel == name)


class Watch(TorchFunctionMode):
    """Inside it, `kernels` collects the kernels that attention is computed by; none where a model has none, or
    computes it by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is scaled_dot_product_attention:
            chosen = torch._fused_sdp_choice(*args, **given)
            self.kernels.add(NAMES.get(SDPBackend(chosen), "unknown"))
        return func(*args, **given)
