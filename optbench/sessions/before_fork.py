"""The last import of a sweep's fork server: what every run would do again is done here once, before the first fork.

Importing this module does the work, since a fork server can only import."""

from __future__ import annotations

import gc

import torch
from torch import nn
from torch.nn import functional

from optbench.training.attention import KernelRecorder
from optbench.training.flops import count_flops
from optbench.training.provenance import cpu_name, git_state, package_versions


def may_compute() -> bool:
    """Return True if computing here cannot spoil the forks: with an accelerator, torch's autograd starts threads, and
    neither they nor an initialised device survive a fork."""
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        return True
    return accelerator.type == "cuda" and torch.cuda.device_count() == 0  # counted without initialising a device


def first_step() -> None:
    """Do what is slow the first time: forward, backward and an evaluation of a small network, with one thread."""
    torch.set_num_threads(1)  # a thread pool would not survive the fork; each run sets its own number
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    inputs, labels = torch.linspace(0, 1, 512).reshape(8, 1, 8, 8), torch.arange(8)

    def step() -> None:
        functional.cross_entropy(network(inputs), labels, reduction="sum").backward()

    with KernelRecorder():
        count_flops(step)
    with torch.no_grad():
        network.eval()(inputs).argmax(1).eq(labels).sum().item()


for read in (package_versions, git_state, cpu_name):
    read()
if may_compute():
    first_step()
gc.enable()
gc.collect()
gc.freeze()  # else the first collection of each run would copy the memory that it shares with the server
