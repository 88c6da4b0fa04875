"""Pretrained weights of other libraries, as `init=LIBRARY/NAME`: a module for each, whose `pretrained(name, model)`
returns a state dict for the model. Only files that are at hand are read; the network is never asked.
"""
