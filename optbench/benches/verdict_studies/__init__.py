"""Parts of `optbench bench verdicts`: simulated studies."""
