"""The claims under experiments/: find, validate, publish and summarise them.

find         the folders that hold a study.yaml
validate     check that a claim is about what its study compares
document     verdict.json, typed
publish      write what a reader needs of a claim that was run
figure       its pictures
published    the committed verdicts
stored       the runs of a published claim, read back from its table
again        decide it again from them
summary      the table of verdicts, in docs/results/claims.md"""
