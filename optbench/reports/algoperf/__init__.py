"""AlgoPerf: its published log folders as tables of times to target."""
