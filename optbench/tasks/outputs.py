"""The tensor in a model's output, and its shape against what the task needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from optbench.errors import ConfigError


def scores(model: nn.Module, output: object, shape: Sequence[int], meaning: str) -> Tensor:
    """Return the tensor in a model's output: the output itself, or its `logits`, as transformers' models return them.

    Raises ConfigError if there is none or if its shape is another one; `meaning` says where the shape comes from."""
    found = output if isinstance(output, Tensor) else logits_of(output)
    name = type(model).__name__
    if found is None:
        raise ConfigError(
            f"{name}'s forward returns {kind_of(output)}, and the task needs a tensor {tuple(shape)} ({meaning})",
            "Return the tensor alone, or an object with `logits`; a loss of your own may take all: task=./loss.py:loss",
        )
    if tuple(found.shape) != tuple(shape):
        raise ConfigError(
            f"{name} gives {tuple(found.shape)} for {meaning}: the task needs {tuple(shape)}",
            "A model can take the numbers from the data by name: classes, outputs, vocabulary_size",
        )
    return found


def logits_of(output: object) -> Tensor | None:
    """Return the `logits` of an output object or of a mapping, if it has them."""
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return found if isinstance(found, Tensor) else None


def kind_of(output: object) -> str:
    """Return the kind of an output in words: "None", "a tuple of 2", "a dict with a, b", "a numpy.ndarray"."""
    if output is None:
        return "None"
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    module = type(output).__module__.partition(".")[0]
    return f"a {type(output).__name__}" if module == "builtins" else f"a {module}.{type(output).__name__}"
