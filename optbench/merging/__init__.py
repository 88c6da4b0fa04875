"""`optbench merge`: join the results trees of several machines.

scan         the run folders of a tree, and their state
mixing       refuse what must not be in one study, in the words of the report
choose       which of several copies of a run to keep, and finished ones that differ
study_file   one study.json from several
copy         put a run folder in place, whole or not at all
join         the plan of a merge, and its execution

It uses `reports` (to read runs and compare them) and `sweeps` (whose study.json and lock it takes); only its command
uses it.
"""
