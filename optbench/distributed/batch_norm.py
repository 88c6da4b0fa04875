"""Batch statistics over the samples of all ranks (`batch_statistics=synchronised`) instead of each rank's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from optbench.errors import ConfigError

CONVERTED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sync_batch_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model with synchronised batch norms: torch's on CUDA, CpuSyncBatchNorm on the CPU.

    Raises ConfigError for a subclass of batch norm, which conversion might break."""
    for name, norm in model.named_modules():
        if isinstance(norm, _BatchNorm) and type(norm) not in CONVERTED:
            raise ConfigError(
                f"batch_statistics=synchronised: {name} is a {type(norm).__name__}, which cannot be converted",
                "Use batch_statistics=local",
            )
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if device.type != "cuda":
        for norm in model.modules():
            if type(norm) is nn.SyncBatchNorm:
                norm.__class__ = CpuSyncBatchNorm
    return model


class AllReduceSum(torch.autograd.Function):
    """Sum over ranks; the gradient is summed over ranks too."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


class CpuSyncBatchNorm(nn.SyncBatchNorm):
    """Ioffe and Szegedy (2015, arXiv:1502.03167) over the samples of all ranks: input (B, C, ...), B may differ by
    rank. torch has this on CUDA only."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of all ranks in training, by running statistics otherwise."""
        if not self.training:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        dims, shape = [d for d in range(input.ndim) if d != 1], (1, -1, *[1] * (input.ndim - 2))
        own = input.new_full((1,), input.numel() / input.shape[1])
        total = AllReduceSum.apply(torch.cat([input.sum(dims), own]))
        mean, count = total[:-1] / total[-1], total[-1].detach()
        centred = input - mean.view(shape)
        var = AllReduceSum.apply(centred.square().sum(dims)) / count
        self._update_running(mean.detach(), var.detach() * count / (count - 1))
        scale = (var + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        normalised = centred * scale.view(shape)
        return normalised if self.bias is None else normalised + self.bias.view(shape)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return  # without track_running_stats
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)
