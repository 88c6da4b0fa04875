"""Sweeps for benches: in processes of their own, with simulated workers, and their writers alone."""
