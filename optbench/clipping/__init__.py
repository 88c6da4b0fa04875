"""Gradient clipping between the gradients and the optimizer step.

One file per clip: `none`, `global_norm`, `per_layer_norm`, `value`, `agc`, `zclip` (clip=adaptive) and `adagc`. `base`
has the base class and the report that a clip returns.
"""

from optbench.clipping.adagc import AdaGC
from optbench.clipping.agc import AGC
from optbench.clipping.base import Clip, ClipReport, gradient_norm, tensor_norms
from optbench.clipping.global_norm import GlobalNorm
from optbench.clipping.none import NoClip
from optbench.clipping.per_layer_norm import PerLayerNorm
from optbench.clipping.value import Value
from optbench.clipping.zclip import ZClip

__all__ = [
    "AGC",
    "AdaGC",
    "Clip",
    "ClipReport",
    "GlobalNorm",
    "NoClip",
    "PerLayerNorm",
    "Value",
    "ZClip",
    "gradient_norm",
    "tensor_norms",
]
