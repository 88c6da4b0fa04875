"""The files that `optbench new` writes: `my_name` and `MyName` in them become the name that the user gives.

The commands at the head of each file are those that `optbench new` prints.
"""
