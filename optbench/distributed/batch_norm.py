"""Batch statistics over the samples of all ranks (`batch_statistics=synchronised`) in place of a rank's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from optbench.errors import ConfigError

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sync_batch_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with its batch norms synchronised: by torch's module on CUDA, by ours on the CPU, where torch has none.
    Raises ConfigError for a batch norm of another kind, which may do more than that."""
    for name, norm in model.named_modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and type(norm) not in KINDS:
            raise ConfigError(f"batch_statistics=synchronised: {name} is a {type(norm).__name__}", "Say local")
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if device.type != "cuda":
        for norm in model.modules():
            if type(norm) is nn.SyncBatchNorm:
                norm.__class__ = SyncBatchNorm
    return model


class Summed(torch.autograd.Function):
    """Sum over ranks; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class SyncBatchNorm(nn.SyncBatchNorm):
    """Ioffe and Szegedy (2015, arXiv:1502.03167) over the samples of all ranks: x (B, C, ...), of any B on each."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the statistics of all ranks in training, by the running ones else."""
        if not self.training:
            return nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        dims, shape = [d for d in range(x.ndim) if d != 1], (1, -1, *[1] * (x.ndim - 2))
        own = x.new_full((1,), x.numel() / x.shape[1])
        total = Summed.apply(torch.cat([x.sum(dims), own]))
        mean, count = total[:-1] / total[-1], total[-1].detach()
        centred = x - mean.view(shape)
        var = Summed.apply(centred.square().sum(dims)) / count
        self._follow(mean.detach(), var.detach() * count / (count - 1))
        scale = (var + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        found = centred * scale.view(shape)
        return found if self.bias is None else found + self.bias.view(shape)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """The running statistics take in a batch."""
        if not self.track_running_stats or self.running_mean is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)
