"""Sweeps driven as users drive them: the command line in a process of its own."""
