"""Optimizers of other libraries: one file per library, with adapters that take the arguments of our YAML files.

An adapter is needed if a constructor accepts unknown arguments (`**kwargs`), reads some from there, or has other names
for ours; other classes are named in the YAML file directly. A file that has `describe(name)` makes every optimizer of
its library available as `optimizer=LIBRARY/NAME`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from optbench.errors import MissingError, first_line

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
Arguments = dict[str, Any]
"""Keyword arguments of a constructor."""
ParamGroup = dict[str, Any]
"""A parameter group: "params" (a list of tensors) and hyperparameters of any type."""


class Adapter:
    """A library's optimizer class as this project calls it: every argument by name, unknown ones refused.

    `hidden` are arguments that the class reads from its `**kwargs`, with their defaults. `translate(**ours)` returns
    the class's arguments from ours; without it the names are the same. `regroup(given, **ours)` first makes groups of
    what the implementation `takes`. `finish(optimizer)` is called on the result. `build` replaces the class where a
    subclass is needed."""

    def __init__(
        self,
        target: Callable[..., Any],
        *,
        hidden: Mapping[str, object] | None = None,
        translate: Callable[..., Arguments] | None = None,
        regroup: Callable[..., list[ParamGroup]] | None = None,
        finish: Callable[[Any], object] | None = None,
        build: Callable[..., Any] | None = None,
    ) -> None:
        self.optbench_target = target  # the library's own class, for the comparison with its defaults
        self.hidden = dict(hidden or {})
        self.translate, self.regroup, self.finish = translate, regroup, finish
        self.build = build or target
        self.__name__ = getattr(target, "__name__", "optimizer")
        self.__signature__ = self._signature()

    def __call__(self, params: Iterable[ParamGroup], **arguments: Any) -> Any:
        """Build the optimizer."""
        bound = self.__signature__.bind(params, **arguments)  # TypeError for a name that the class would ignore
        del bound.arguments["params"]
        if self.regroup is not None:
            params = self.regroup(params, **bound.arguments)
        optimizer = self.build(params, **self.library_arguments(bound.arguments))
        if self.finish is not None:
            self.finish(optimizer)
        return optimizer

    def library_arguments(self, ours: Mapping[str, Any]) -> Arguments:
        """Return the class's arguments from ours."""
        return self.translate(**ours) if self.translate else dict(ours)

    def _signature(self) -> inspect.Signature:
        first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_ONLY)
        if self.translate:
            ours = inspect.signature(self.translate).parameters.values()
            return inspect.Signature([first, *ours])
        named = [p for p in list(inspect.signature(self.optbench_target).parameters.values())[1:] if p.kind in KEYWORDS]
        keywords = {p.name: p.default for p in named} | self.hidden
        only = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([first, *(inspect.Parameter(n, only, default=d) for n, d in keywords.items())])


def split_matrices(
    groups: Iterable[Mapping[str, Any]], roles: Iterable[str]
) -> tuple[list[ParamGroup], list[ParamGroup]]:
    """Split groups by role (`takes: roles`) into matrices, which an optimizer treats specially, and the rest.

    A matrix has one of `roles` and at least two dimensions."""
    chosen, rest = [], []
    for group in groups:
        plain = {key: value for key, value in group.items() if key != "role"}
        matrices = [p for p in group["params"] if group["role"] in roles and p.ndim > 1]
        others = [p for p in group["params"] if not any(p is matrix for matrix in matrices)]
        chosen += [{**plain, "params": matrices}] if matrices else []
        rest += [{**plain, "params": others}] if others else []
    return chosen, rest


def library(module: str) -> ModuleType:
    """Import a library of the extra `peers`. Raises MissingError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingError(
            f"the package with '{module}' is not installed: {first_line(error)}",
            "Install it: pip install 'optbench[peers]'",
        ) from None


def optimizer_class(module: str, name: str) -> type:
    """Return a class of a library of the extra `peers`. Raises AttributeError if there is no such class."""
    found = None if name.startswith("_") else getattr(library(module), name, None)
    if not inspect.isclass(found):
        raise AttributeError(f"{module} has no optimizer '{name}'")
    return found
