"""A schedule of your own: the learning rate over the run.

optbench run schedule=./my_name.py:my_name model=mlp steps=200
optbench sweep schedule=cosine,./my_name.py:my_name model=mlp steps=200 --trials 4 --seeds 3
"""


def my_name(progress: float, warmup: float = 0.05, power: float = 1.5) -> float:
    """Return the learning rate as a share of its peak, at a progress from 0 (start) to 1 (end of the budget).

    The arguments after the progress are settings: schedule.power=2."""
    if progress < warmup:
        return progress / warmup
    return ((1 - progress) / (1 - warmup)) ** power
