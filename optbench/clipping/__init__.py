"""Gradient clipping between the gradients and the optimizer step.

`none`, `global_norm`, `per_layer_norm`, `value`, `agc`, `zclip` (clip=adaptive) and `adagc`: one file each; `base` says
what a clip is and what it reports.
"""

from optbench.clipping.adagc import AdaGC
from optbench.clipping.agc import AGC
from optbench.clipping.base import Clip, Clipped, gradient_norm, tensor_norms
from optbench.clipping.global_norm import GlobalNorm
from optbench.clipping.none import NoClip
from optbench.clipping.per_layer_norm import PerLayerNorm
from optbench.clipping.value import Value
from optbench.clipping.zclip import ZClip

__all__ = [
    "AGC",
    "AdaGC",
    "Clip",
    "Clipped",
    "GlobalNorm",
    "NoClip",
    "PerLayerNorm",
    "Value",
    "ZClip",
    "gradient_norm",
    "tensor_norms",
]
