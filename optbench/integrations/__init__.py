"""Training frameworks: a script that uses one takes its optimizer from optbench and tells it what was measured.

transformers   Trainer of Hugging Face transformers
lightning      Trainer of Lightning (lightning or pytorch_lightning)
"""
