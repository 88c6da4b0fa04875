"""Vision transformer, built by timm for any image size.

As in Beyer, Zhai and Kolesnikov (2022, Better plain ViT baselines for ImageNet-1k, arXiv:2205.01580): mean pooling
instead of a class token; initial positions are two-dimensional sines and cosines.
"""

from __future__ import annotations

from torch import nn

from optbench.contracts import ImageData
from optbench.errors import ConfigError
from optbench.models.facts import head_size
from optbench.models.roles import mark

SIZES = {  # embedding dimension, blocks, heads (tiny to base: Touvron et al., 2021, table 1; micro: ours, for a CPU)
    "micro": (64, 4, 4),
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
}


def fitting_patch_size(pixels: int) -> int:
    """Return the largest patch side up to 16 that divides the image's side and gives enough patches.

    At least 7 x 7 patches, or 4 x 4 for an image below 16 pixels: 2 for 8 pixels, 4 for 28 and 32, 8 for 64, 16 for
    224."""
    fewest = 7 if pixels >= 16 else 4
    sizes = [side for side in range(1, 17) if pixels % side == 0 and pixels // side >= fewest]
    return max(sizes, default=1)


def build(data: ImageData, *, size: str, patch_size: int | None, drop_path: float) -> nn.Module:
    """Build a network from images (B, C, H, W), H = W, to logits (B, classes).

    Raises ConfigError if the patch size does not divide the image's side."""
    import torch
    from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
    from timm.models.vision_transformer import VisionTransformer

    channels, height, width = data.sample_shape
    patch = patch_size or fitting_patch_size(height)
    if height != width:
        raise ConfigError(f"model=vit needs square images, but this data has {height}x{width} pixels")
    if height % patch:
        raise ConfigError(f"model.patch_size={patch} does not divide the image's side of {height} pixels")
    dim, depth, heads = SIZES[size]
    model = VisionTransformer(
        img_size=height,
        patch_size=patch,
        in_chans=channels,
        num_classes=head_size(data),
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        drop_path_rate=drop_path,
        global_pool="avg",
        class_token=False,
        weight_init="jax",
    )
    side, positions = height // patch, model.pos_embed
    assert positions is not None
    with torch.no_grad():  # initial values only; small images train badly from timm's small random positions
        positions.copy_(build_sincos2d_pos_embed([side, side], dim=dim)[None])
    mark(model.head, "head")
    mark(model.get_submodule("patch_embed.proj"), "first")
    mark(positions, "embedding")
    return model
