"""Sinks for people and services: the terminal and Weights & Biases."""
