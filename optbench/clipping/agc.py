"""Adaptive gradient clipping of NFNets: unit by unit, by the size of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optbench.clipping import foreach
from optbench.clipping.base import Clip, ClipReport, gradients_of, report_scales, tensor_norms
from optbench.contracts import Problem


class AGC(Clip):
    """Brock, De, Smith, Simonyan (2021), arXiv:2102.06171, equation 3, for each unit i (row of a matrix, filter):

        g_i *= ratio max(|w_i|, eps) / |g_i|    where |g_i| > ratio max(|w_i|, eps)

    Norms are taken over all dimensions but the first, which in torch is the output of linear and convolution layers.
    A tensor of at most one dimension (bias, gain) is one unit, as in the authors' code and in timm.

    The paper does not clip the last linear layer. `exclude` lists such roles, and a bias goes with the weight of its
    module: with [head] neither weight nor bias of the head is clipped. A unit with a NaN gradient stays as it is; an
    infinite element becomes NaN, and the rest of its unit 0.
    """

    def __init__(self, problem: Problem, *, ratio: float, eps: float, exclude: Sequence[str]) -> None:
        super().__init__(problem)
        self.ratio, self.eps = ratio, eps
        self.excluded = excluded_tensors(problem, exclude)

    def apply(self, parameters: Sequence[Tensor], advance: bool) -> ClipReport:
        clipped = [parameter for parameter in parameters if id(parameter) not in self.excluded]
        spared = gradients_of([parameter for parameter in parameters if id(parameter) in self.excluded])
        parts = [self._clip_units(clipped)] if clipped else []
        if spared:  # they count in the joint norm
            others = tensor_norms(spared)
            parts.append((others, torch.ones_like(others)))
        return report_scales(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _clip_units(self, parameters: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Clip; return the gradient's norm and the factor of every unit, both of shape (units,)."""
        gradients = gradients_of(parameters)
        norms = [unit_norms(gradient) for gradient in gradients]
        flat = torch.cat([norm.flatten() for norm in norms])  # one vector, so that the rule is only four kernels
        limits = torch.cat([unit_norms(parameter).flatten() for parameter in parameters])
        limits = limits.clamp_(min=self.eps) * self.ratio
        scales = torch.where(flat > limits, limits / flat, 1.0)
        parts = scales.split([norm.numel() for norm in norms])
        factors = [part.view(norm.shape) for part, norm in zip(parts, norms, strict=True)]
        foreach.mul_(gradients, factors)
        return flat, scales


def unit_norms(tensor: Tensor) -> Tensor:
    """Return the L2 norm of each unit in at least float32.

    The shape broadcasts with the tensor: (units, 1, ...), or () for one unit."""
    dimensions = tuple(range(1, tensor.ndim)) if tensor.ndim > 1 else None
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    return torch.linalg.vector_norm(tensor, dim=dimensions, keepdim=tensor.ndim > 1, dtype=dtype)


def excluded_tensors(problem: Problem, roles: Sequence[str]) -> set[int]:
    """Return the ids of the tensors whose role is in `roles`, and of the biases in the same modules."""
    modules = {p.name.rpartition(".")[0] for p in problem.parameters if p.has_role(roles)}
    return {
        id(p.tensor)
        for p in problem.parameters
        if p.has_role(roles) or (p.role == "bias" and p.name.rpartition(".")[0] in modules)
    }
