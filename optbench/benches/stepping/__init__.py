"""Parts of the bench of optimizer steps (optbench.benches.step)."""
