"""The machinery behind the optimizers: the engine, building, parameter groups, wrappers, state size."""
