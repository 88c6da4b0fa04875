"""Roles of a model that doesn't mark its own parameters: as the user says, and a head where it is certain."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence

from torch import nn

from optbench.errors import ConfigError, nearest, suggest
from optbench.models.roles import mark, marked_role, role_of

HEAD, EMBEDDING, MATRIX, FIRST = "head", "embedding", "matrix", "first"
VECTORS = ("norm", "bias")
"""Roles that stay where a module as a whole is given another one."""
SHOWN, MOST_NAMES = 4, 12  # names of layers in a notice, and in a hint, at most
Owned = tuple[nn.Module, str, nn.Parameter]
"""A parameter, the module that holds it, and its name there."""


def assign_roles(
    model: nn.Module, told: Mapping[str, Sequence[str] | None], outputs: Collection[int], reads_text: bool
) -> str:
    """Mark parameters: those that `told` names by role, bare ones by their shape, head and first layer where certain.

    `outputs`: how many numbers a head may give. Returns the notice that asks for what can't be told, or "".
    Raises ConfigError for a name that matches nothing."""
    for role, patterns in told.items():
        for pattern in patterns or ():
            mark_matching(model, role, pattern)
    for owner, name, parameter in owned(model):
        if not type(owner).__module__.startswith("torch.nn.") and role_of(owner, name, parameter) == MATRIX:
            mark_by_shape(parameter)
    if told.get(FIRST) is None and not reads_text:
        mark_first(model)
    heads = {} if HEAD in roles_in(model) or told.get(HEAD) is not None else candidates(model, outputs)
    if len(heads) == 1 and not is_tied(model, heads):
        mark_within(next(iter(heads.values())), HEAD)
    asks_head = outputs and told.get(HEAD) is None and HEAD not in roles_in(model) and not is_tied(model, heads)
    asks_embedding = reads_text and told.get(EMBEDDING) is None and not has_embedding(model)
    asked = [head_notice(model, heads, outputs)] if asks_head else []
    asked += [embedding_notice(model)] if asks_embedding else []
    return "; ".join(asked)


def mark_matching(model: nn.Module, role: str, pattern: str) -> None:
    """Give a role to the parameters that a name or pattern names, and to the weights of modules that it names."""
    known: dict[str, None] = {}
    found = False
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, parameter in module.named_parameters(recurse=False):
            parts = [*prefix.split("."), name] if prefix else [name]
            names = [".".join(parts[: n + 1]) for n in range(len(parts))]  # of the modules around it, and its own
            known |= dict.fromkeys(names)
            if not any(fnmatch.fnmatchcase(one, pattern) for one in names):
                continue
            found = True
            if names[-1] == pattern or role in VECTORS or role_of(module, name, parameter) not in VECTORS:
                mark(parameter, role)
    if not found:
        near = known if nearest(pattern, known) else list(known)[-MOST_NAMES:]
        hint = suggest(pattern, near, f"model.roles.{role}=[{{}}]")
        raise ConfigError(f"model.roles.{role}=[{pattern}]: no module or parameter of the model has this name", hint)


def mark_within(module: nn.Module, role: str) -> None:
    """Give a role to the weights in a module; to its biases and norms only a role of that kind."""
    for owner, name, parameter in owned(module):
        if role in VECTORS or role_of(owner, name, parameter) not in VECTORS:
            mark(parameter, role)


def owned(model: nn.Module) -> Iterator[Owned]:
    """Yield every parameter with the module that holds it and its name there."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield module, name, parameter


def mark_by_shape(parameter: nn.Parameter) -> None:
    """Mark a bare parameter that is the same for the whole batch: (1, 1, D) is a vector, (1, L, D) are positions."""
    if marked_role(parameter) is None and parameter.ndim > 2 and parameter.shape[0] == 1:
        mark(parameter, "bias" if parameter.numel() == max(parameter.shape) else EMBEDDING)


def mark_first(model: nn.Module) -> None:
    """Mark the first layer that the model defines, if it is a convolution without a role of its own."""
    layers = (module for module in model.modules() if isinstance(module, nn.Linear | nn.modules.conv._ConvNd))
    first = next(layers, None)
    if isinstance(first, nn.modules.conv._ConvNd) and marked_role(first) is None and marked_role(first.weight) is None:
        mark(first.weight, FIRST)


def roles_in(model: nn.Module) -> set[str]:
    """Return the roles of a model's parameters."""
    return {role_of(*found) for found in owned(model)}


def candidates(model: nn.Module, outputs: Collection[int]) -> Mapping[str, nn.Module]:
    """Return the layers that may be the head by name: linear ones that give as many numbers, else convolutions."""
    named = dict(model.named_modules())
    linear = {n: m for n, m in named.items() if isinstance(m, nn.Linear) and m.out_features in outputs}
    maps = {n: m for n, m in named.items() if isinstance(m, nn.Conv1d | nn.Conv2d) and m.out_channels in outputs}
    return linear or maps


def has_embedding(model: nn.Module) -> bool:
    """Return True for a model with an embedding, by its role or by its type."""
    return EMBEDDING in roles_in(model) or any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in model.modules())


def is_tied(model: nn.Module, heads: Mapping[str, nn.Module]) -> bool:
    """Return True if one of the layers shares its weights with an embedding, as the head of a language model may."""
    shared = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return any(id(getattr(module, "weight", None)) in shared for module in heads.values())


def head_notice(model: nn.Module, heads: Mapping[str, nn.Module], outputs: Collection[int]) -> str:
    """Return the text that asks for the head."""
    layers = list(heads) or [name for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    numbers = " or ".join(map(str, sorted(outputs)))
    why = f"{len(heads)} layers give" if heads else "no layer gives"
    names = ", ".join(layers[-SHOWN:]) or "none found"
    return (
        f"which layer is the head can't be told: {why} {numbers} numbers ({names}). Optimizers such as Muon treat the "
        f"head apart: say which it is with model.roles.head=[{(layers or ['NAME'])[-1]}], or [] for none"
    )


def embedding_notice(model: nn.Module) -> str:
    """Return the text that asks for the embedding of text."""
    names = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    return (
        f"the model reads text, but no nn.Embedding is in it. Say which weights embed the tokens with "
        f"model.roles.embedding=[{(names or ['NAME'])[0]}], or [] for none"
    )
