"""Generators and discriminators of images. Every builder gives {"generator": ..., "discriminator": ...}.

A generator turns noise (B, generator.noise) into images (B, C, H, W) in (-1, 1); a discriminator turns those into
scores (B,). A discriminator whose weights are normalised by a running estimate renews it in `renew()`, which the task
calls once after each of its updates: a forward pass is a function of weights and buffers and changes neither.
"""
