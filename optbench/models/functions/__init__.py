"""Functions with known minima: what a theory of optimizers speaks of, trained through the one loop."""
