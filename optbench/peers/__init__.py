"""Optimizers of other libraries: one file a library, each a set of adapters that are called as our YAML files say.

An adapter is needed where a constructor swallows unknown arguments (`**kwargs`), hides some behind them, or says ours
in other words; other classes are named by the YAML file directly. A file that has `describe(name)` makes every
optimizer of its library reachable as `optimizer=LIBRARY/NAME`.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from optbench.errors import MissingError, first_line

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Adapter:
    """A library's optimizer class as this project calls it: every argument by its name, none swallowed.

    `hidden` are arguments that the class reads from its `**kwargs`, with what it takes where they are absent.
    `translate(**ours)` gives the class's arguments from ours; without it they have the same names.
    `regroup(groups, **ours)` changes the groups first. `finish(optimizer)` is called on what is built. `build` stands
    in for the class where that needs a subclass."""

    def __init__(
        self,
        target: Callable[..., Any],
        *,
        hidden: Mapping[str, Any] | None = None,
        translate: Callable[..., dict[str, Any]] | None = None,
        regroup: Callable[..., Any] | None = None,
        finish: Callable[[Any], Any] | None = None,
        build: Callable[..., Any] | None = None,
    ) -> None:
        self.optbench_target = target  # what the library ships, for the comparison with what is pinned
        self.hidden = dict(hidden or {})
        self.translate, self.regroup, self.finish = translate, regroup, finish
        self.build = build or target
        self.__name__ = getattr(target, "__name__", "optimizer")
        self.__signature__ = self._signature()

    def __call__(self, params: Iterable[Any], **arguments: Any) -> Any:
        """The optimizer."""
        bound = self.__signature__.bind(params, **arguments)  # TypeError for a name that the class would swallow
        del bound.arguments["params"]
        if self.regroup is not None:
            params = self.regroup(params, **bound.arguments)
        optimizer = self.build(params, **self.theirs(bound.arguments))
        if self.finish is not None:
            self.finish(optimizer)
        return optimizer

    def theirs(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The class's arguments from ours."""
        return self.translate(**arguments) if self.translate else dict(arguments)

    def _signature(self) -> inspect.Signature:
        first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_ONLY)
        if self.translate:
            ours = inspect.signature(self.translate).parameters.values()
            return inspect.Signature([first, *ours])
        named = [p for p in list(inspect.signature(self.optbench_target).parameters.values())[1:] if p.kind in KEYWORDS]
        hidden = [(name, default) for name, default in self.hidden.items()]
        keywords = {p.name: p.default for p in named} | dict(hidden)
        only = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([first, *(inspect.Parameter(n, only, default=d) for n, d in keywords.items())])


def matrices_and_rest(groups: Iterable[Mapping[str, Any]], roles: Iterable[str]) -> tuple[list[Any], list[Any]]:
    """Groups by role (`takes: roles`) as those whose matrices an optimizer treats apart, and the rest.

    A matrix has one of `roles` and at least two dimensions."""
    chosen, rest = [], []
    for group in groups:
        plain = {key: value for key, value in group.items() if key != "role"}
        apart = [p for p in group["params"] if group["role"] in roles and p.ndim > 1]
        others = [p for p in group["params"] if not any(p is matrix for matrix in apart)]
        chosen += [{**plain, "params": apart}] if apart else []
        rest += [{**plain, "params": others}] if others else []
    return chosen, rest


def library(module: str) -> ModuleType:
    """An imported library of the extra `peers`. Raises MissingError, with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingError(
            f"the package that brings '{module}' is not there: {first_line(error)}",
            "Install it: pip install 'optbench[peers]'",
        ) from None


def optimizer_class(module: str, name: str) -> Any:
    """A class of a library of the extra `peers`. Raises AttributeError where it has none of the name."""
    found = None if name.startswith("_") else getattr(library(module), name, None)
    if not inspect.isclass(found):
        raise AttributeError(f"{module} has no optimizer '{name}'")
    return found
