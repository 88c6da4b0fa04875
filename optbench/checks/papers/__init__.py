"""The papers' rules in NumPy float64: a second copy, against which every implementation is compared.

Each file has one generator, `paper(theta, steps, *, hyperparameters)`. theta is a float64 array: the rule changes it in
place and yields it after each step. `steps` holds one item per step, a gradient of theta's shape unless the rule's
docstring names another. Hyperparameters of type `Rates`, such as `lr`, hold one value per step. A modifier's `steps` is
the generator of the inner rule, over the same theta.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

Array = np.ndarray
Betas = tuple[float, float]
Gradients = Iterable[Array]
Rates = Iterable[float]
"""A hyperparameter that a schedule scales, such as lr: one value per step, at least as many as there are steps."""
Trajectory = Iterator[Array]
"""theta after each step."""
Function = Callable[[Array], tuple[float, Array]]
"""The loss of one batch: theta -> (loss, gradient)."""
Evidence = Mapping[str, Array]
"""Curvature in one step: "probe" z and "product" H z, or "sampled" and "count"."""
Rule = Callable[..., Trajectory]
"""The generator of one file: `paper(theta, steps, *, hyperparameters)`."""
