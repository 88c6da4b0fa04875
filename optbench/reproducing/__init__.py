"""The claims under experiments/: found, checked, published, summed up.

finding      the folders that hold a study.yaml
checking     whether a claim is about what its study compares
publishing   what a reader needs of one that was run, in a folder
figure       its one picture
published    the verdicts that are committed
summary      their table, in README.md and results/README.md"""
