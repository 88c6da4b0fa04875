"""Parts of `optbench bench chaos`: the kinds of runs, what strikes them, and one run under strikes."""
