"""`optbench merge`: results trees of several machines as one.

trees.py      what run folders lie in a tree, in what state
mixing.py     which runs must not lie together, in the words of the report
choosing.py   of one run in several trees, the one that is kept; where two that have ended differ
ledgers.py    study.json of one study from several
copying.py    a run folder to its place: whole or not at all
joining.py    all of it: the plan, and its doing

It lies above `report` (which reads runs and says what may be compared) and `sweep` (whose study.json and lock it
takes), and nothing but its command lies above it.
"""
