"""`freeze`: parameters that a run leaves as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from optbench.contracts import Parameter
from optbench.errors import ConfigError, nearest
from optbench.models.roles import role_of


def freeze(players: Mapping[str, nn.Module], patterns: Sequence[str]) -> None:
    """Exclude the parameters that match a pattern from training, in place. Batch statistics stay as they were: running.

    A pattern is a role, or the name of a parameter or a module, in which * and ? stand for any characters. In a task
    with several players a name may begin with that of its player. Raises ConfigError for a pattern that matches
    nothing, and for a player that would have nothing left to train."""
    found = {player: list(all_parameters(module)) for player, module in players.items()}
    for pattern in patterns:
        matched = matching(pattern, found)
        if not matched:
            raise ConfigError(f"freeze=[{pattern}]: matches no parameter", suggestion(pattern, found))
        for parameter in matched:
            parameter.tensor.requires_grad_(False)
    for player, own in found.items():
        if patterns and not any(parameter.tensor.requires_grad for parameter in own):
            whose = f" of the {player}" if len(players) > 1 else ""
            raise ConfigError(f"freeze=[{','.join(patterns)}]: no parameter{whose} is left to train")


def all_parameters(module: nn.Module) -> Iterator[Parameter]:
    """Yield every parameter of a network under each of its names; tied weights have the role of their first name."""
    roles: dict[int, str] = {}
    for prefix, part in module.named_modules():
        for name, parameter in part.named_parameters(recurse=False):
            role = roles.setdefault(id(parameter), role_of(part, name, parameter))
            yield Parameter(f"{prefix}.{name}" if prefix else name, parameter, role)


def frozen(module: nn.Module) -> list[Parameter]:
    """Return the parameters that are not trained, each once."""
    found = {id(p.tensor): p for p in reversed(list(all_parameters(module))) if not p.tensor.requires_grad}
    return list(reversed(found.values()))


def matching(pattern: str, found: Mapping[str, Sequence[Parameter]]) -> list[Parameter]:
    """Return the parameters of a role; if none has it, those whose name, or a module's above, fits the pattern."""
    forms = (pattern, f"{pattern}.*")
    return [p for own in found.values() for p in own if p.has_role([pattern])] or [
        parameter
        for player, own in found.items()
        for parameter in own
        if any(fnmatchcase(name, form) for name in (parameter.name, f"{player}.{parameter.name}") for form in forms)
    ]


def suggestion(pattern: str, found: Mapping[str, Sequence[Parameter]]) -> str:
    """Return what could be meant by a pattern that matches nothing."""
    parameters = [parameter for own in found.values() for parameter in own]
    roles = sorted({parameter.role for parameter in parameters})
    names = [parameter.name for parameter in parameters]
    modules = [name.rpartition(".")[0] for name in names]
    near = nearest(pattern, filter(None, dict.fromkeys([*roles, *modules, *names])))
    if near:
        return f"Did you mean freeze=[{near}]?"
    return f"Roles here: {', '.join(roles)}; names: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
