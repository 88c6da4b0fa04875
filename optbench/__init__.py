"""optbench: which optimizer should I use, on my workload, with my budget, and how sure can I be?"""

__version__ = "0.1.0"
