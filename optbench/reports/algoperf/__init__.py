"""AlgoPerf's logs, tables of times to target, and their scores."""
