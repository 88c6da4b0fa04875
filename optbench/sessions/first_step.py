"""What is known of an optimizer only after its first step: if its state fits into a checkpoint, and how many gradients
it takes. A run of many hours must not find out at its end."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from optbench.config import RunConfig
from optbench.config.user_code import user_error
from optbench.errors import ConfigError, UserCodeError
from optbench.optimizers.core.inner_state import full_state
from optbench.optimizers.core.interface import Optimizer
from optbench.store import RunFolder
from optbench.training.loop import Trainer
from optbench.training.plan import State

log = logging.getLogger(__name__)

NOT_LOADABLE = (
    "Keep numbers, texts, tensors, lists and dicts in state_dict(); or allow its class in your file: "
    "torch.serialization.add_safe_globals([...])"
)


def check_first_step(config: RunConfig, trainer: Trainer, *, compared: bool) -> None:
    """Raise ConfigError for an optimizer whose state cannot be kept in a checkpoint, and, in a sweep (`compared`), for
    one that takes more gradient evaluations than its file declares; a single run only says so."""
    for name, player in trainer.players.items():
        choice = config.optimizer_of(name)
        if not trainer.sharded:
            require_loadable(player.optimizer, choice.name, choice.settings)
        declared, taken = choice.about.get("evaluations", 1), player.gradient_evaluations
        if trainer.progress.step > 1 or declared != 1 or taken <= 1 or choice.settings["impl"] != "user":
            continue
        message = f"{choice.name} took {taken} gradient evaluations in its first step, and declares one"
        hint = f'Declare it, for equal budgets: about = {{"evaluations": {taken}}} in its class or file (or "varies")'
        if compared:
            raise ConfigError(message, hint)
        log.warning(f"{message}; {hint[0].lower()}{hint[1:]}")


def loadable_state(config: RunConfig, trainer: Trainer, *, last: bool) -> State:
    """Return the trainer's state for a checkpoint. Raises UserCodeError for one that could not be loaded again."""
    for name, player in trainer.players.items() if not trainer.sharded else ():
        require_loadable(player.optimizer, config.optimizer_of(name).name)
    return trainer.state_dict(last=last)


@contextmanager
def traceback_kept(folder: RunFolder) -> Iterator[None]:
    """Write the traceback of an error that the user's code raised to error.txt, and name that file."""
    try:
        yield
    except UserCodeError as error:
        folder.write_error("".join(traceback.format_exception(error)))
        place = f"Traceback: {folder.error_file}"
        raise UserCodeError(error.message, f"{error.hint} ({place})" if error.hint else place) from error


def require_loadable(optimizer: Optimizer, name: str, settings: Mapping[str, object] | None = None) -> None:
    """Raise UserCodeError unless the optimizer's state can be read back from a checkpoint without running code."""
    try:
        state = full_state(optimizer)
    except Exception as error:
        raise user_error(f"{name}.state_dict()", error) from error
    if not round_trips(skeleton(state)):
        where, value = next((leaf for leaf in leaves(state) if not round_trips(leaf[1])), ("", state))
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise UserCodeError(
            f"{name}: its state cannot be kept in a checkpoint: state_dict(){where} is a {kind}",
            next(
                (f"Set it to a number: optimizer.{key}=VALUE" for key in settings or () if f"[{key!r}]" in where),
                NOT_LOADABLE,
            ),
        )


def round_trips(value: object) -> bool:
    """Return True for a value that torch can save, and load with `weights_only`."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception:  # whatever pickling raises
        return False
    return True


def skeleton(tree: object) -> object:
    """Return nested plain containers with an empty tensor for every plain one."""
    if type(tree) in (Tensor, nn.Parameter):
        return torch.empty(0)
    if type(tree) is dict:
        return {key: skeleton(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return [skeleton(value) for value in tree]  # pyright: ignore[reportGeneralTypeIssues]
    return tree


def leaves(tree: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Yield (place, value) of everything in nested plain containers."""
    if type(tree) is dict:
        for key, value in tree.items():
            yield from leaves(value, f"{where}[{key!r}]")
    elif type(tree) in (list, tuple):
        for number, value in enumerate(tree):  # pyright: ignore[reportArgumentType]
            yield from leaves(value, f"{where}[{number}]")
    else:
        yield where, tree
