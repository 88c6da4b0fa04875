"""Where a search space is sampled, and which trials are pruned."""
