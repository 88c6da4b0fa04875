"""The role of each parameter, from the type of the module that owns it.

Roles: embedding, head, matrix, convolution, norm, bias. A model that knows better marks a module or a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from optbench.contracts import ROLES, Curvature, Parameter, Problem


def mark(target: nn.Module | nn.Parameter, role: str) -> None:
    """Give a module's weights, or one parameter, a role that its type does not tell."""
    if role not in ROLES:
        raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    target.optbench_role = role  # type: ignore[union-attr]


def role_of(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    """The role of `parameter`, called `name` inside `module`."""
    marked = getattr(parameter, "optbench_role", None)
    if marked:
        return marked
    if "Norm" in type(module).__name__:
        return "norm"
    if name.endswith("bias") or parameter.ndim < 2:
        return "bias"
    marked = getattr(module, "optbench_role", None)
    if marked:
        return marked
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, nn.modules.conv._ConvNd):
        return "convolution"
    return "matrix"


def trainable(model: nn.Module) -> Iterator[Parameter]:
    """Every trainable parameter once, tied weights under their first name."""
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield Parameter(f"{prefix}.{name}" if prefix else name, parameter, role_of(module, name, parameter))


def problem_of(model: nn.Module, curvature: Curvature | None = None) -> Problem:
    """What an optimizer may know of a network."""
    modules: Mapping[str, nn.Module] = dict(model.named_modules())
    return Problem(tuple(trainable(model)), modules, curvature)
