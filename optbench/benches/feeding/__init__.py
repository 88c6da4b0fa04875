"""Input pipelines written by hand, to compare with in `optbench bench input`."""
