"""One run on several ranks: who takes part, how they are started, and what they say to each other.

Every rank draws the same global batch and takes its share of each turn; gradients, losses and counts are summed over
ranks and divided once. Rank 0 writes. There are two streams of random numbers: torch's own is common to all ranks (what
optimizers and tasks draw from); what a forward pass draws (dropout) is seeded by (seed, step, turn, rank), so that no
rank has a state of its own and a checkpoint serves any number of ranks.

The ranks are torchrun's, or, with `devices=N` alone, this process as rank 0 and N-1 helpers that it starts.
"""

from optbench.distributed.batch_norm import sync_batch_norms
from optbench.distributed.communicator import Communicator
from optbench.distributed.launch import await_launch, connect_as_helper, open_launcher
from optbench.distributed.rank_info import RankInfo, rank_device, rank_info_of
from optbench.distributed.sharding import shard_parameters

__all__ = [
    "Communicator",
    "RankInfo",
    "await_launch",
    "connect_as_helper",
    "open_launcher",
    "rank_device",
    "rank_info_of",
    "shard_parameters",
    "sync_batch_norms",
]
