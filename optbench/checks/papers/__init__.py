"""The papers' rules in NumPy and float64: the second copy that every implementation is held against."""
