"""One run on several ranks: who takes part, how they are started, and what they say to each other.

Every rank draws the same global batch and takes its share of each turn; gradients, losses and counts are summed over
ranks and divided once. Rank 0 writes. There are two streams of random numbers: torch's own is common to all ranks (what
optimizers and tasks draw from); what a forward pass draws (dropout) is seeded by (seed, step, turn, rank), so that no
rank has a state of its own and a checkpoint serves any number of ranks.

The ranks are torchrun's, or, with `devices=N` alone, this process as rank 0 and N-1 helpers that it starts.
"""

from optbench.distributed.batch_norm import synchronised
from optbench.distributed.communicator import RankLost, Ranks
from optbench.distributed.launch import called, helping, invited
from optbench.distributed.rank_info import Place, device_of, place_of
from optbench.distributed.sharding import sharded

__all__ = [
    "Place",
    "RankLost",
    "Ranks",
    "called",
    "device_of",
    "helping",
    "invited",
    "place_of",
    "sharded",
    "synchronised",
]
