"""One run on several ranks: launching, communication, sharding.

Every rank draws the same global batch and takes its share of each turn. Gradients, losses and counts are summed over
ranks and divided once. Rank 0 writes the results. There are two streams of random numbers: torch's own is common to all
ranks (for optimizers and tasks); a forward pass (dropout) uses one seeded by (seed, step, turn, rank), so that ranks
have no random state of their own and a checkpoint serves any number of ranks.

The ranks are torchrun's or, with `devices=N` alone, this process as rank 0 and N-1 helpers that it starts.
"""

from optbench.distributed.batch_norm import sync_batch_norms
from optbench.distributed.communicator import TorchCommunicator
from optbench.distributed.launch import await_launch, connect_as_helper, open_launcher
from optbench.distributed.rank_info import RankInfo, rank_info_of
from optbench.distributed.sharding import shard_parameters

__all__ = [
    "RankInfo",
    "TorchCommunicator",
    "await_launch",
    "connect_as_helper",
    "open_launcher",
    "rank_info_of",
    "shard_parameters",
    "sync_batch_norms",
]
