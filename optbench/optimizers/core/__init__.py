"""The engine that runs the update rules, and the tools to build, group, wrap and measure optimizers."""
