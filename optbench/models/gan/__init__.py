"""Generators and discriminators of images. Every builder returns {"generator": ..., "discriminator": ...}.

A generator maps noise (B, generator.noise) to images (B, C, H, W) in (-1, 1). A discriminator maps images to scores
(B,). A forward pass changes no weights and no estimates: a discriminator with weights normalised by a running estimate
updates it in `renew()`, which the task calls once after each step of the discriminator.
"""
