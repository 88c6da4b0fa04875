"""The role of each parameter, from the type of the module that owns it.

Roles: embedding, head, first, matrix, convolution, norm, bias. A model can mark a module or a parameter with another
role.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from optbench.contracts import ROLES, Curvature, Parameter, Problem

ATTRIBUTE = "optbench_role"  # of a marked module or parameter


def mark(target: nn.Module | Tensor, role: str) -> None:
    """Give a module's weights, or one parameter, a role that its type does not show."""
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; choose from {', '.join(ROLES)}")
    setattr(target, ATTRIBUTE, role)


def marked_role(target: nn.Module | Tensor) -> str | None:
    """Return the role that `mark` gave, if any."""
    return getattr(target, ATTRIBUTE, None)


def role_of(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    """Return the role of `parameter`, called `name` inside `module`."""
    if marked := marked_role(parameter):
        return marked
    if "Norm" in type(module).__name__:
        return "norm"
    if name.endswith("bias") or parameter.ndim < 2:
        return "bias"
    if marked := marked_role(module):
        return marked
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return "embedding"
    if isinstance(module, nn.modules.conv._ConvNd):
        return "convolution"
    return "matrix"


def trainable(model: nn.Module) -> Iterator[Parameter]:
    """Yield every trainable parameter once; tied weights have their first name."""
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield Parameter(f"{prefix}.{name}" if prefix else name, parameter, role_of(module, name, parameter))


def problem_of(model: nn.Module, curvature: Curvature | None = None) -> Problem:
    """Return what an optimizer may know about a network."""
    return Problem(tuple(trainable(model)), dict(model.named_modules()), curvature)
