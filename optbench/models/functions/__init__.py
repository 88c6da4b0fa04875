"""Functions with known minima, as in the theory of optimizers, trained by the same loop as networks."""
