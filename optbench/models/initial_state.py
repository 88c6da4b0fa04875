"""Loading given weights into a network, by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from optbench.errors import ConfigError

WRAPPERS = re.compile(r"^(?:(?:module|model|network|_orig_mod)\.)+")
"""Names that DDP, torch.compile, and classes that hold one network put before those of its tensors."""
COMPILED = "_orig_mod."  # torch.compile puts it before the names of compiled parts, too
MOST_NAMED = 3  # tensors in a message


@dataclass(frozen=True)
class Loaded:
    """The tensors of a network that were loaded, and those that were not."""

    tensors: int
    """Tensors of the network, tied ones once: parameters and buffers."""
    loaded: int
    random: tuple[str, ...]
    """Names of tensors that keep their own initial values, with both shapes if these differ."""
    left_over: tuple[str, ...]
    """Tensors of the source that the network has no place for."""


def load_matching(module: nn.Module, state: Mapping[str, Tensor], source: str) -> Loaded:
    """Copy the tensors of a state dict into those of a network with the same names and shapes.

    Names may differ by a wrapper before them, such as `module.`. Raises ConfigError if no parameter fits, and for a
    parameter that is not finite."""
    own = module.state_dict(keep_vars=True)
    pairs = pairs_of(list(own), list(state))
    fits = {name: given for name, given in pairs.items() if state[given].shape == own[name].shape}
    names: dict[int, str] = {}  # of tensors that are loaded; tied weights have several names
    for name, given in fits.items():
        if id(own[name]) not in names:
            copy_into(own[name], state[given], f"{source}: {given}")
            names[id(own[name])] = name
    if not any(isinstance(own[name], nn.Parameter) for name in names.values()):
        raise ConfigError(
            f"init={source}: no parameter there has the name and shape of one of the model",
            f"There: {some(list(state))}; in the model: {some(list(own))}",
        )
    random: dict[int, str] = {}
    for name, tensor in own.items():
        if id(tensor) not in names:
            why = f" {shape(tensor)} not {shape(state[pairs[name]])}" if name in pairs else ""
            random.setdefault(id(tensor), name + why)
    for name, given in pairs.items():
        theirs, ours = shape(state[given]), shape(own[name])
        if name not in fits and len(ours) == 2 and theirs == ours[::-1]:
            raise ConfigError(
                f"init={source}: {given} is {theirs} there and {ours} in the model: matrices are transposed there",
                "init=hf/./FOLDER turns those of models of transformers",
            )
    used = set(fits.values())
    left_over = tuple(name for name in state if name not in used)
    return Loaded(len(names) + len(random), len(names), tuple(random.values()), left_over)


def pairs_of(own: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Return the given name for each own one that has one: the same, or the same without wrappers (if all differ)."""
    exact = {name: name for name in set(own).intersection(given)}
    plain, plain_own = ({without_wrappers(name): name for name in names} for names in (given, own))
    if len(plain) < len(given) or len(plain_own) < len(own):
        return {name: name for name in own if name in exact}
    pairs = {name: exact.get(name) or plain.get(without_wrappers(name)) for name in own}
    return {name: found for name, found in pairs.items() if found is not None}


def without_wrappers(name: str) -> str:
    """Return the name of a tensor without those of wrappers."""
    return WRAPPERS.sub("", name.replace(COMPILED, ""))


@torch.no_grad()
def copy_into(tensor: Tensor, given: Tensor, name: str) -> None:
    """Copy a tensor. Raises ConfigError if it is of another kind, or a parameter that is not finite."""
    if given.is_floating_point() != tensor.is_floating_point() or given.is_complex() != tensor.is_complex():
        raise ConfigError(f"init={name} is of {given.dtype}, and the model's tensor of {tensor.dtype}")
    value = given.to(tensor.dtype)
    if isinstance(tensor, nn.Parameter) and not bool(value.isfinite().all()):
        raise ConfigError(f"init={name} holds values that are not finite")
    if bool(value.isnan().any()):
        raise ConfigError(f"init={name} holds NaN")
    tensor.copy_(value)


def lines_of(loaded: Mapping[str, Loaded], source: str) -> list[str]:
    """Return what was loaded, in one or two lines for each player."""
    lines = []
    for player, one in loaded.items():
        whose = f" of the {player}" if len(loaded) > 1 else ""
        parts = [f"init: {one.loaded} of {one.tensors} tensors{whose} from {source}"]
        parts += [f"at random: {some(one.random)}"] if one.random else []
        parts += [f"not used: {some(one.left_over)}"] if one.left_over else []
        lines.append("; ".join(parts))
    return lines


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape of a tensor as messages show it."""
    return tuple(tensor.shape)
